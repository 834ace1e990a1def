// The page's own Trusted Types policy, made before anything else: whoever made it later could be
// somebody else. lit makes its own when it is loaded.
const own = ['./seal.worker.js', './sw.js'];

interface Policy {
  createScriptURL(url: string): string;
}
interface Factory {
  createPolicy(name: string, rules: Policy): Policy;
}

const rules: Policy = {
  createScriptURL(url) {
    if (!own.includes(url)) throw new TypeError('not a script of this page');
    return url;
  },
};
const types = (globalThis as { trustedTypes?: Factory }).trustedTypes;
export const policy = types?.createPolicy('dam', rules) ?? rules;

// Seals a seed under a passphrase: seconds of work, away from the page.
import { sealSeedFile } from '../core/index.js';

interface Asked {
  seed: Uint8Array;
  passphrase: string;
}

addEventListener('message', ({ data }: MessageEvent<Asked>) => {
  postMessage(sealSeedFile(data.seed, 'buyer-seed', data.passphrase));
});

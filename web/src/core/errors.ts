// The two verdicts on bytes from outside.

/** The bytes break a rule: they will never be taken. The hostile value is not in the message. */
export class Malformed extends Error {
  override name = 'Malformed';
}

/** It is sound, as far as one can see, but sealed to somebody else. */
export class NotForMe extends Error {
  override name = 'NotForMe';
}

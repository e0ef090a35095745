// The payload: what Python wrote into the page, and its numbers.

/** Reads the payload of the document. */
export function readPayload() {
  return JSON.parse(document.getElementById('payload').textContent);
}

/** Returns the bytes that base64 stands for, as a Uint8Array. */
export function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Returns a vector of the payload as a Float32Array. */
export function floatsOf(vector) {
  return new Float32Array(bytesOf(vector.data).buffer);
}

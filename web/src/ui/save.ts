/** Hands bytes to the browser's downloads, as nothing that it would run or show. */
export function saveFile(bytes: Uint8Array, name: string): void {
  const type = 'application/octet-stream';
  const url = URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

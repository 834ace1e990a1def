// What the page keeps, in one IndexedDB database. Everything that money hangs on is written with
// `durability: 'strict'`: on disk when the promise is kept.

export type StoreName = 'purchases' | 'keys' | 'settings' | 'verdicts';

const VERSION = 1;
const STORES: readonly StoreName[] = ['purchases', 'keys', 'settings', 'verdicts'];

/** Another tab holds an older page open, or the browser keeps nothing here. */
export class KeepError extends Error {
  override name = 'KeepError';
}

export class Db {
  private constructor(private readonly db: IDBDatabase) {
    // A newer page in another tab wants to change the layout: let it.
    db.onversionchange = () => db.close();
  }

  static open(name: string, factory: IDBFactory = indexedDB): Promise<Db> {
    return new Promise((resolve, reject) => {
      const request = factory.open(name, VERSION);
      request.onupgradeneeded = () => {
        for (const store of STORES) request.result.createObjectStore(store);
      };
      request.onsuccess = () => resolve(new Db(request.result));
      request.onerror = () => reject(new KeepError('this browser keeps nothing for this page'));
      request.onblocked = () => reject(new KeepError('close the other tabs of this page first'));
    });
  }

  close(): void {
    this.db.close();
  }

  async get<T>(store: StoreName, key: string): Promise<T | undefined> {
    return this.read(store, (objects) => objects.get(key)) as Promise<T | undefined>;
  }

  async all<T>(store: StoreName): Promise<T[]> {
    return this.read(store, (objects) => objects.getAll()) as Promise<T[]>;
  }

  async remove(store: StoreName, key: string): Promise<void> {
    await this.write(store, (objects) => objects.delete(key));
  }

  /**
   * Reads, changes and writes one value in a single transaction: two tabs cannot both win. `edit`
   * gets undefined where there is none; what it throws leaves everything as it was.
   */
  async change<T>(store: StoreName, key: string, edit: (before: T | undefined) => T): Promise<T> {
    let after: T | undefined;
    await this.write(store, (objects, fail) => {
      const request = objects.get(key);
      request.onsuccess = () => {
        try {
          after = edit(request.result as T | undefined);
          objects.put(after, key);
        } catch (error) {
          fail(error);
        }
      };
    });
    return after as T;
  }

  private read(store: StoreName, ask: (objects: IDBObjectStore) => IDBRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const request = ask(this.db.transaction(store).objectStore(store));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(new KeepError('what this page keeps cannot be read'));
    });
  }

  private write(
    store: StoreName,
    work: (objects: IDBObjectStore, fail: (error: unknown) => void) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const transaction = this.db.transaction(store, 'readwrite', { durability: 'strict' });
      let why: unknown;
      transaction.oncomplete = () => resolve();
      transaction.onabort = () =>
        reject(why ?? new KeepError('it could not be written: disk full?'));
      work(transaction.objectStore(store), (error) => {
        why = error;
        transaction.abort();
      });
    });
  }
}

// lib/act.ts
import type { ReaderAction } from "@/lib/reader-action";

let last: Promise<unknown> = Promise.resolve();

/** For the browser: tells the app's server what the reader did. Rejects where it could not be told. */
export function act(contentId: string, action: ReaderAction["action"]): Promise<void> {
  const body = JSON.stringify({ id: crypto.randomUUID(), contentId, action });
  const sent = last.then(() => deliver(body)); // one after the other: a visitor's first two would make two readers
  last = sent.catch(() => null);
  return sent;
}

async function deliver(body: string): Promise<void> {
  // Once more with the same id where no answer came: should the first try have arrived, it counts once.
  const answer = await send(body).catch(() => send(body));
  if (!answer.ok) throw new Error(`/api/act answered ${answer.status}`);
}

function send(body: string): Promise<Response> {
  // keepalive: it arrives though the reader leaves the page.
  return fetch("/api/act", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true });
}

// lib/reader-action.ts
const ACTIONS = [
  "view", "click", "like", "save", "share", "comment", "purchase", "dwell", "skip", "dislike", "hide",
] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export type ReaderAction = { id: string; contentId: string; action: (typeof ACTIONS)[number] };

/** What a browser has sent, or null where it is no action: anybody can send anything. */
export function readerAction(given: unknown): ReaderAction | null {
  const { id, contentId, action } = Object(given);
  const isContentId = typeof contentId === "string" && contentId !== "" && contentId.length <= 256;
  if (!isContentId || typeof id !== "string" || !UUID.test(id) || !ACTIONS.includes(action)) return null;
  return { id, contentId, action };
}

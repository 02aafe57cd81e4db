/** The title of a content of scripts/dev's sample: `sample-music-3`. Your app asks its own table, and leaves out what
 * it doesn't find there or may not show any more: a list is a few hours old at most, but not of this very moment. */
export function titleOf(contentId: string): string {
  const [, topic, number] = /^sample-(.+)-(\d+)$/.exec(contentId) ?? [];
  return topic === undefined ? contentId : `${topic[0].toUpperCase()}${topic.slice(1)} № ${Number(number) + 1}`;
}

// lib/reasons.ts
import type { Item } from "@/lib/recommendations";

const REASONS = {
  en: {
    similar: (title: string) => `Because you read “${title}”`,
    personal: "For you",
    trending: "Trending now",
    popular: "Popular",
    new: "New",
  },
  zh: {
    similar: (title: string) => `因为您读过“${title}”`,
    personal: "为您推荐",
    trending: "正在流行",
    popular: "热门",
    new: "最新",
  },
};

/** Why an item is in the list, for its reader; `titleOf` knows the title of what he has read. */
export function reasonOf(item: Item, language: "en" | "zh", titleOf: (contentId: string) => string): string {
  const reasons = REASONS[language];
  return item.similar_to === undefined ? reasons[item.source] : reasons.similar(titleOf(item.similar_to));
}

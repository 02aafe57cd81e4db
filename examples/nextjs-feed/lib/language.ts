import "server-only";
import { headers } from "next/headers";

export type Language = "en" | "zh";

/** The reader's, as his browser says it first. */
export async function readerLanguage(): Promise<Language> {
  const accepted = (await headers()).get("accept-language") ?? "";
  return accepted.trim().toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const WORDS = {
  en: {
    title: "Your feed",
    intro: "Like or hide something: within seconds the list follows.",
    personal: "This list is made for you.",
    popular: "This is what everybody reads. Like something, and the list becomes yours.",
    empty: "Nothing to show yet. Is scripts/dev running, with its sample traffic?",
    unavailable: "Recommendations are away for the moment.",
    trending: "Trending topics",
    noTrending: "No topic is read more than usual.",
    like: "Like",
    hide: "Hide",
    liked: "Liked. The list follows within seconds …",
    hidden: "Hidden. The list follows within seconds …",
    changed: "Your list has changed.",
    failed: "That could not be saved. Please try again.",
  },
  zh: {
    title: "您的信息流",
    intro: "点赞或隐藏一项内容，列表会在几秒内随之变化。",
    personal: "这份列表是为您生成的。",
    popular: "这是大家都在看的内容。点一个赞，列表就会变成您自己的。",
    empty: "还没有可以展示的内容。scripts/dev 是否正在运行并产生示例流量？",
    unavailable: "推荐暂时不可用。",
    trending: "热门话题",
    noTrending: "没有哪个话题比平时更热。",
    like: "赞",
    hide: "隐藏",
    liked: "已点赞，列表几秒内更新……",
    hidden: "已隐藏，列表几秒内更新……",
    changed: "您的列表已更新。",
    failed: "未能保存，请重试。",
  },
};

export type Words = (typeof WORDS)[Language];

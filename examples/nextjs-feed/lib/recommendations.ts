// lib/recommendations.ts
import "server-only"; // a page of the browser that imports this file doesn't build
import { Redis } from "@upstash/redis";
import type { ReaderAction } from "@/lib/reader-action";

export type Item = {
  content_id: string;
  score: number;
  source: "personal" | "trending" | "popular" | "new";
  similar_to?: string;
};
export type List = {
  user_id: string | null;
  items: Item[];
  source: "cache" | "computed" | "cold_start";
  generated_at: string;
};
export type Topic = { topic: string; score: number; language: string | null; users: number };

// A function, so that each command has two seconds of its own and fails after them.
const redis = Redis.fromEnv({ signal: () => AbortSignal.timeout(2_000) });

export async function pushAction(userId: string, action: ReaderAction): Promise<void> {
  await redis.lpush("pending_user_actions", { ...action, userId, timestamp: new Date().toISOString() });
}

/** A reader's list, or the popular content for a visitor of whom nothing is known (null). */
export async function readList(userId: string | null, n = 20): Promise<List> {
  const key = userId === null ? "recommend:cold-start" : `recommend:user:${userId}`;
  const cached = await redis.get<List>(key); // an object already, not a text to parse
  const list = cached ?? (await askForList(userId ?? "visitor", n));
  return { ...list, items: list.items.slice(0, n) };
}

/** The topics that are read more than usual, of one language or of all. */
export async function readTrendingTopics(language?: string): Promise<Topic[]> {
  const topics = (await redis.get<Topic[]>("recommend:trending-topics")) ?? [];
  return topics.filter((topic) => language === undefined || topic.language === language);
}

async function askForList(userId: string, n: number): Promise<List> {
  const query = new URLSearchParams({ user_id: userId, n: String(n) });
  const answer = await fetch(`${process.env.RECOMMENDER_URL}/api/recommend?${query}`, {
    headers: { Authorization: `Bearer ${process.env.ADMIN_API_KEY}` },
    cache: "no-store",
    signal: AbortSignal.timeout(5_000),
  });
  if (!answer.ok) throw new Error(`/api/recommend answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

"use client";

import { useRouter } from "next/navigation";
import { useEffect, useState } from "react";
import { act } from "@/lib/act";
import type { Words } from "@/lib/language";

type Card = { id: string; title: string; reason: string; source: string };
type Told = Record<string, "like" | "hide">;

const EVERY_MS = 2_000; // to look for the next list
const LOOKS = 15; // and then no more: ticks may be set to minutes

export function Feed({ cards, about, words }: { cards: Card[]; about: string; words: Words }) {
  const router = useRouter();
  const [told, setTold] = useState<Told>({}); // what the reader did, by content
  const [status, setStatus] = useState("");
  const [looks, setLooks] = useState(0);
  const waits = cards.some((card) => card.id in told); // no list holds what its reader has acted on

  useEffect(() => {
    if (!waits || looks >= LOOKS) return;
    const timer = setTimeout(() => {
      router.refresh();
      setLooks(looks + 1);
    }, EVERY_MS);
    return () => clearTimeout(timer);
  }, [waits, looks, router]);

  async function tell(id: string, action: "like" | "hide") {
    setTold((before) => ({ ...before, [id]: action }));
    setStatus(action === "like" ? words.liked : words.hidden);
    setLooks(0);
    try {
      await act(id, action);
    } catch {
      setTold(({ [id]: _, ...others }) => others);
      setStatus(words.failed);
    }
  }

  const hasChanged = !waits && Object.keys(told).length > 0;
  return (
    <section aria-label={words.title}>
      <p className="about">{about}</p>
      <p role="status">{hasChanged ? words.changed : status}</p>
      {cards.length === 0 && <p>{words.empty}</p>}
      <ol className="cards">
        {cards.map(({ id, title, reason, source }) => (
          <li key={id} data-content={id} data-told={told[id]}>
            <h2>{title}</h2>
            <p data-source={source}>{reason}</p>
            {(["like", "hide"] as const).map((action) => (
              <button
                key={action}
                type="button"
                aria-label={`${words[action]}: ${title}`}
                aria-pressed={told[id] === action}
                onClick={() => id in told || tell(id, action)}
              >
                {words[action]}
              </button>
            ))}
          </li>
        ))}
      </ol>
    </section>
  );
}

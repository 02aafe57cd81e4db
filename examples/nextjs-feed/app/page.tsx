import { Feed } from "@/app/feed";
import { readerLanguage, WORDS } from "@/lib/language";
import { titleOf } from "@/lib/posts";
import { reasonOf } from "@/lib/reasons";
import { readList, readTrendingTopics } from "@/lib/recommendations";
import { readerId } from "@/lib/session";

export default async function Page() {
  const language = await readerLanguage();
  const words = WORDS[language];
  // A page is worth showing without its recommendations: yours would show the latest posts.
  const [list, topics] = await Promise.all([
    readList(await readerId()).catch(reported),
    readTrendingTopics(language).catch(reported),
  ]);
  const cards = (list?.items ?? []).map((item) => ({
    id: item.content_id,
    title: titleOf(item.content_id),
    reason: reasonOf(item, language, titleOf),
    source: item.source,
  }));
  const about = list === null ? words.unavailable : list.source === "cold_start" ? words.popular : words.personal;
  return (
    <main>
      <header>
        <h1>{words.title}</h1>
        <p>{words.intro}</p>
      </header>
      <Feed cards={cards} about={about} words={words} />
      <aside aria-labelledby="trending">
        <h2 id="trending">{words.trending}</h2>
        {topics?.length ? (
          <ol>
            {topics.slice(0, 5).map(({ topic }) => (
              <li key={topic}>{topic}</li>
            ))}
          </ol>
        ) : (
          <p>{words.noTrending}</p>
        )}
      </aside>
    </main>
  );
}

function reported(error: unknown): null {
  console.error(error);
  return null;
}

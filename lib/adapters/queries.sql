-- The statements of the product, by name. Parameters are psycopg's. Times as unix seconds where arithmetic follows.
-- Decay ends at 500 half-lives: a product that underflows is an error to Postgres.

-- name: vector_type
-- pgvector's, and arrays of it.
SELECT oid, typarray FROM pg_type WHERE oid = to_regtype('vector')

-- name: lock_log
-- For whoever deletes from the log, or chooses contenders: nobody else writes log or popularity meanwhile.
SELECT pg_advisory_xact_lock(7240219)

-- name: share_log
-- For drains, of which any number may write at once.
SELECT pg_advisory_xact_lock_shared(7240219)

-- name: user_hash
-- Of g.user_id, keyed, so that the list of the forgotten names nobody. (A fragment.)
sha256(k.key || sha256(k.key || convert_to(g.user_id, 'UTF8')))

-- name: hash_key
SELECT convert_to(value, 'UTF8') AS key FROM recs_state WHERE name = 'hash_key'

-- name: counted_pairs
-- The pairs of user and content that counted actions among those that changed are of. (A fragment.)
pairs AS (
    SELECT coalesce(array_agg(user_id), '{}'), coalesce(array_agg(content_id), '{}'),
           coalesce(array_agg(extract(epoch FROM earliest)::float8), '{}')
    FROM (SELECT user_id, content_id, min(occurred_at) AS earliest
          FROM changed WHERE action = ANY(%(counted)s) GROUP BY user_id, content_id) e
)

-- name: insert_actions
-- Inserts the events that are new, and none from before its user was forgotten. Answers how many went in, how many were
-- of forgotten users, and the pairs of user and content that got a counted action with the earliest of those. Sorted, so
-- that two drains with the same ids don't wait for each other in a circle.
WITH forgotten AS MATERIALIZED (
    SELECT g.user_id, f.forgotten_at
    FROM (SELECT DISTINCT user_id FROM unnest(%(user_ids)s::text[]) u(user_id)) g, ({hash_key}) k, recs_forgotten f
    WHERE EXISTS (SELECT FROM recs_forgotten) AND f.user_hash = {user_hash}
), given AS (
    SELECT g.*, coalesce(f.forgotten_at >= g.occurred_at, false) AS is_forgotten
    FROM unnest(%(event_ids)s::text[], %(user_ids)s::text[], %(content_ids)s::text[], %(actions)s::text[],
                %(values)b::float8[], %(occurred_at)b::timestamptz[]) WITH ORDINALITY
         AS g(event_id, user_id, content_id, action, value, occurred_at, position)
    LEFT JOIN forgotten f USING (user_id)
), changed AS (
    INSERT INTO user_actions (event_id, user_id, content_id, action, value, occurred_at)
    SELECT event_id, user_id, content_id, action, value, occurred_at FROM given WHERE NOT is_forgotten
    ORDER BY event_id COLLATE "C", position
    ON CONFLICT (event_id) DO NOTHING
    RETURNING user_id, content_id, action, occurred_at
), {counted_pairs}
SELECT (SELECT count(*) FROM changed), (SELECT count(*) FROM given WHERE is_forgotten), p.* FROM pairs p

-- name: earliest_others
-- For each of these pairs the earliest counted action besides those that this transaction inserted, null for none. It
-- must see what others have committed before this transaction got its locks, so it is a statement of its own. The numbers
-- of transactions come round again after four billion: what was received before this one began is none of its rows.
SELECT array_agg((SELECT extract(epoch FROM min(a.occurred_at))::float8 FROM user_actions a
                  WHERE a.user_id = p.user_id AND a.content_id = p.content_id AND a.action = ANY(%(counted)s)
                    AND (a.xmin <> pg_current_xact_id()::xid OR a.received_at < now())) ORDER BY p.position)
FROM unnest(%(user_ids)s::text[], %(content_ids)s::text[]) WITH ORDINALITY AS p(user_id, content_id, position)

-- name: add_popularity_rows
-- Something to lock for contents that have none yet. All in the same order, as in the next: nobody waits in a circle.
INSERT INTO recs_popularity (content_id, as_of, sums)
SELECT content_id, '-infinity', %(nothing)s::float8[] FROM unnest(%(content_ids)s::text[]) g(content_id)
ORDER BY content_id COLLATE "C"
ON CONFLICT (content_id) DO NOTHING
RETURNING content_id

-- name: lock_popularity
SELECT content_id, as_of, sums, language FROM recs_popularity WHERE content_id = ANY(%(content_ids)s::text[])
ORDER BY content_id COLLATE "C" FOR UPDATE

-- name: put_popularity
-- The sums of all rows stand one after the other. What comes in now has been met for the first time.
INSERT INTO recs_popularity (content_id, as_of, sums, first_at)
SELECT content_id, as_of, (%(sums)b::float8[])[(n - 1) * %(half_lives)s + 1 : n * %(half_lives)s], as_of
FROM unnest(%(content_ids)s::text[], %(as_of)b::float8[]) WITH ORDINALITY g(content_id, as_of, n)
ON CONFLICT (content_id) DO UPDATE
SET as_of = excluded.as_of, sums = excluded.sums,
    first_at = CASE WHEN recs_popularity.as_of = '-infinity' THEN excluded.first_at ELSE recs_popularity.first_at END

-- name: histories
-- Of each of these users who has acted his place among them and his last actions: when, on what, and their names. Order
-- of rows is free.
SELECT u.number::int4, a.*
FROM unnest(%(user_ids)s::text[]) WITH ORDINALITY u(user_id, number)
CROSS JOIN LATERAL (
    SELECT array_agg(occurred_at), array_agg(content_id), string_agg(action, ',')
    FROM (SELECT occurred_at, content_id, action FROM user_actions WHERE user_id = u.user_id
          ORDER BY occurred_at DESC, content_id COLLATE "C", action COLLATE "C" LIMIT %(length)s) latest
    HAVING count(*) > 0) a

-- name: reads
-- Everything that these users have acted on, and when they first did so in a way that counts (null: never).
SELECT user_id, content_id,
       extract(epoch FROM min(occurred_at) FILTER (WHERE action = ANY(%(counted)s)))::float8
FROM user_actions WHERE user_id = ANY(%(user_ids)s) GROUP BY user_id, content_id

-- name: recommendable
-- What may be shown. While the app has not filled content at all: everything that the log knows. (A fragment.)
SELECT content_id, language, coalesce(published_at, updated_at) AS published_at FROM content WHERE available
UNION ALL
SELECT content_id, NULL, NULL FROM recs_popularity WHERE NOT EXISTS (SELECT FROM content)

-- name: available
-- Of these contents. Where it finds one, the app has filled content, and `allowed` would say no more.
SELECT content_id FROM content WHERE available AND content_id = ANY(%(content_ids)s)

-- name: allowed
SELECT content_id FROM ({recommendable}) r WHERE content_id = ANY(%(content_ids)s)

-- name: popularity_now
-- Between two of the kept half-lives: the mean of the logarithms of both sums as they stand now. (A fragment.)
exp((1 - %(share)s) * ln(greatest(coalesce(p.sums[%(faster)s], 0)
                 * power(0.5::float8, least((%(now)s - p.as_of) / %(faster_seconds)s, 500)), 0) + 0.05)
  + %(share)s * ln(greatest(coalesce(p.sums[%(slower)s], 0)
                 * power(0.5::float8, least((%(now)s - p.as_of) / %(slower_seconds)s, 500)), 0) + 0.05)) - 0.05

-- name: popular
-- The most popular of now, then (where that is too little) the newest.
SELECT r.content_id, CASE WHEN p.as_of IS NULL THEN 0 ELSE {popularity_now} END AS popularity,
       (SELECT topics FROM content WHERE content_id = r.content_id LIMIT 1)
FROM ({recommendable}) r LEFT JOIN recs_popularity p ON p.content_id = r.content_id
WHERE %(language)s::text IS NULL OR r.language = %(language)s
ORDER BY popularity DESC, r.published_at DESC NULLS LAST, r.content_id COLLATE "C" LIMIT %(n)s

-- name: first_seen
-- When anybody first acted on something: by the model, else by the drain that met it. (A fragment.)
CASE WHEN (i.statistics)[1] < 'infinity' THEN (i.statistics)[1] ELSE p.first_at END

-- name: popular_contenders
-- The same among the contenders of some pools.
SELECT r.content_id, {popularity_now} AS popularity, (SELECT topics FROM content WHERE content_id = r.content_id LIMIT 1)
FROM (SELECT DISTINCT content_id FROM recs_contenders WHERE pool = ANY(%(pools)s)) c
CROSS JOIN LATERAL (SELECT * FROM ({recommendable}) r WHERE content_id = c.content_id LIMIT 1) r
CROSS JOIN LATERAL (SELECT as_of, sums FROM recs_popularity WHERE content_id = c.content_id LIMIT 1) p
WHERE %(language)s::text IS NULL OR r.language = %(language)s
ORDER BY popularity DESC, r.published_at DESC NULLS LAST, r.content_id COLLATE "C" LIMIT %(n)s

-- name: met
-- Everything that may be shown and somebody has met, in no order.
SELECT r.content_id, r.language, r.language IS NOT DISTINCT FROM p.language, p.as_of, p.sums, {first_seen}
FROM ({recommendable}) r
LEFT JOIN recs_popularity p ON p.content_id = r.content_id
LEFT JOIN recs_items i ON i.version = %(version)s AND i.content_id = r.content_id
WHERE (%(language)s::text IS NULL OR r.language = %(language)s)
  AND (p.as_of IS NOT NULL OR (i.statistics)[1] < 'infinity')

-- name: contenders
-- The same of the contenders of some pools alone, looked up one by one.
SELECT r.content_id, r.language, r.language IS NOT DISTINCT FROM p.language, p.as_of, p.sums, {first_seen}
FROM (SELECT DISTINCT content_id FROM recs_contenders WHERE pool = ANY(%(pools)s)) c
CROSS JOIN LATERAL (SELECT * FROM ({recommendable}) r WHERE content_id = c.content_id LIMIT 1) r
LEFT JOIN LATERAL (SELECT as_of, sums, language, first_at FROM recs_popularity WHERE content_id = c.content_id LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT statistics FROM recs_items
                   WHERE version = %(version)s AND content_id = c.content_id LIMIT 1) i ON true
WHERE (%(language)s::text IS NULL OR r.language = %(language)s)
  AND (p.as_of IS NOT NULL OR (i.statistics)[1] < 'infinity')
ORDER BY c.content_id COLLATE "C"

-- name: newest_unmet
-- Of the contents that were published last those that nobody has met. Looked up one by one, so that it ends early.
SELECT r.content_id, extract(epoch FROM r.published_at)::float8
FROM (SELECT content_id, coalesce(published_at, updated_at) AS published_at FROM content
      WHERE available AND (%(language)s::text IS NULL OR language = %(language)s)
      ORDER BY coalesce(published_at, updated_at) DESC NULLS LAST, content_id COLLATE "C" LIMIT %(looked_at)s) r
LEFT JOIN LATERAL (SELECT true AS met FROM recs_popularity WHERE content_id = r.content_id LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT (statistics)[1] < 'infinity' AS met FROM recs_items
                   WHERE version = %(version)s AND content_id = r.content_id LIMIT 1) i ON true
WHERE p.met IS NULL AND i.met IS NOT TRUE
ORDER BY r.published_at DESC NULLS LAST, r.content_id COLLATE "C" LIMIT %(n)s

-- name: search_widely
-- pgvector's index follows so many candidates, 40 without this.
SELECT set_config('hnsw.ef_search', %(candidates)s::text, true)

-- name: fitting_part
-- What users' embeddings say of what content says. (A fragment.)
SELECT user_id, subvector(embedding, %(first)s, %(size)s)::halfvec(64) AS taste
FROM user_embeddings WHERE user_id = ANY(%(user_ids)s) AND model_version = %(version)s

-- name: fitting_still
-- That it may still be shown, and that still nobody has met it. (A fragment.)
EXISTS (SELECT FROM content c WHERE c.content_id = n.content_id AND c.available
          AND (%(language)s::text IS NULL OR c.language = %(language)s))
  AND NOT EXISTS (SELECT FROM recs_popularity p WHERE p.content_id = n.content_id)

-- name: fitting_by_index
-- Of the contents that nobody has met those that suit each user best, by the index.
SELECT u.user_id, n.content_id FROM ({fitting_part}) u CROSS JOIN LATERAL (
    SELECT content_id, embedding <#> u.taste AS distance FROM recs_new_contents
    WHERE axes = %(axes)s ORDER BY embedding <#> u.taste LIMIT %(looked_at)s) n
WHERE {fitting_still} ORDER BY u.user_id, n.distance, n.content_id COLLATE "C"

-- name: fitting_exactly
-- The same by looking at all of them: the sum is nothing that the index knows.
SELECT u.user_id, n.content_id FROM ({fitting_part}) u CROSS JOIN LATERAL (
    SELECT content_id, embedding <#> u.taste AS distance FROM recs_new_contents
    WHERE axes = %(axes)s ORDER BY (embedding <#> u.taste) + 0 LIMIT %(looked_at)s) n
WHERE {fitting_still} ORDER BY u.user_id, n.distance, n.content_id COLLATE "C"

-- name: delete_new_contents
-- What is new no more: gone, too old, met, or on the axes of before.
DELETE FROM recs_new_contents n WHERE axes <> %(axes)s
    OR EXISTS (SELECT FROM recs_popularity p WHERE p.content_id = n.content_id)
    OR NOT EXISTS (SELECT FROM content c WHERE c.content_id = n.content_id AND c.available
                   AND coalesce(c.published_at, c.updated_at) >= %(since)s)

-- name: missing_new_contents
-- The newest of those that nobody has met and that aren't there yet.
SELECT content_id FROM content c
WHERE available AND coalesce(published_at, updated_at) >= %(since)s AND vector_dims(embedding::vector) = %(size)s
  AND NOT EXISTS (SELECT FROM recs_popularity p WHERE p.content_id = c.content_id)
  AND NOT EXISTS (SELECT FROM recs_new_contents n WHERE n.content_id = c.content_id)
ORDER BY coalesce(published_at, updated_at) DESC, content_id COLLATE "C" LIMIT %(limit)s

-- name: add_new_contents
INSERT INTO recs_new_contents (content_id, axes, embedding)
SELECT content_id, %(axes)s, embedding::halfvec(64)
FROM unnest(%(content_ids)s::text[], %(vectors)s::vector[]) g(content_id, embedding)
ON CONFLICT (content_id) DO NOTHING

-- name: count_new_contents
SELECT count(*) FROM recs_new_contents

-- name: put_contenders
INSERT INTO recs_contenders (pool, content_id, generation)
SELECT pool, content_id, %(generation)s FROM unnest(%(pools)s::text[], %(content_ids)s::text[]) g(pool, content_id)
ON CONFLICT (pool, content_id) DO UPDATE SET generation = excluded.generation
WHERE recs_contenders.generation < excluded.generation

-- name: delete_contenders
DELETE FROM recs_contenders WHERE generation < %(generation)s

-- name: count_contenders
SELECT count(*) FROM recs_contenders

-- name: put_languages
UPDATE recs_popularity p SET language = g.language
FROM unnest(%(content_ids)s::text[], %(languages)s::text[]) g(content_id, language) WHERE g.content_id = p.content_id

-- name: is_known
SELECT user_id FROM user_actions WHERE user_id = %(user_id)s LIMIT 1

-- name: neighbours
-- What users' reads point to.
SELECT content_id, (statistics)[6], neighbours, neighbour_values FROM recs_items
WHERE version = %(version)s AND content_id = ANY(%(content_ids)s)

-- name: items
-- Some items by id or by position, with all that ranking needs. The limits keep Postgres from reading whole tables.
WITH wanted AS (
    SELECT unnest(%(content_ids)s::text[]) AS content_id
    UNION SELECT content_id FROM recs_items WHERE version = %(version)s AND position = ANY(%(positions)s)
)
SELECT w.content_id, i.position, i.statistics, i.vectors, i.circle, p.as_of, p.sums, c.topics, EXISTS (
           SELECT FROM ({recommendable}) r
           WHERE r.content_id = w.content_id AND (%(language)s::text IS NULL OR r.language = %(language)s))
FROM wanted w
LEFT JOIN LATERAL (SELECT position, statistics, vectors, circle FROM recs_items
                   WHERE version = %(version)s AND content_id = w.content_id LIMIT 1) i ON true
LEFT JOIN LATERAL (SELECT as_of, sums FROM recs_popularity WHERE content_id = w.content_id LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT topics FROM content WHERE content_id = w.content_id LIMIT 1) c ON true
ORDER BY w.content_id COLLATE "C"

-- name: new_items
-- What the log says of items that a model doesn't know yet: only of these, since it was built.
SELECT content_id, extract(epoch FROM min(occurred_at))::float8, extract(epoch FROM max(occurred_at))::float8,
       array_agg(action)
FROM user_actions WHERE received_at >= %(since)s AND content_id = ANY(%(content_ids)s)
GROUP BY content_id

-- name: split
-- Of `wanted` (user_id, place): all of them in order of their places where one shard may hold them; else none, and they
-- are put into shards of one size, give or take one, by a hash that differs from run to run. (A fragment, after it.)
, counted AS (SELECT count(*) AS n FROM wanted),
numbered AS (
    SELECT user_id, place, ntile((SELECT greatest(1, ceil(n / %(shard_users)s::float8))::int FROM counted))
                           OVER (ORDER BY hashtextextended(user_id, %(run)s), user_id) - 1 AS shard
    FROM wanted WHERE (SELECT n FROM counted) > %(shard_users)s
), shards AS (
    INSERT INTO recs_shards (job, run, shard, users, size, begun_at)
    SELECT %(job)s, %(run)s, shard, array_agg(user_id ORDER BY place, user_id), count(*), %(begun_at)s
    FROM numbered GROUP BY shard
)
SELECT user_id FROM wanted WHERE (SELECT n FROM counted) <= %(shard_users)s ORDER BY place, user_id

-- name: active_users
-- The users who acted lately, the latest first.
WITH wanted AS (
    SELECT user_id, -extract(epoch FROM max(occurred_at)) AS place FROM user_actions
    WHERE received_at >= %(since)s AND occurred_at >= %(since)s GROUP BY user_id
) {split}

-- name: count_acted
-- How many actions topic_counts would look at.
SELECT count(*) FROM user_actions
WHERE action = ANY(%(counted)s) AND received_at >= %(since)s AND occurred_at >= %(since)s

-- name: topic_counts
-- The different users of each topic in a sample of them, weighted as lib/core/trending.py says. Ages are in days.
WITH acted AS (
    SELECT content_id, user_id, greatest(extract(epoch FROM %(now)s - occurred_at)::float8, 0) / 86400 AS age
    FROM user_actions
    WHERE action = ANY(%(counted)s) AND received_at >= %(since)s AND occurred_at >= %(since)s
      AND hashtext(user_id) & (%(sample)s - 1) = 0
), users AS (
    SELECT t.topic, c.language, floor(a.age / %(recent_days)s) AS period, avg(a.age) AS age
    FROM acted a JOIN content c USING (content_id) CROSS JOIN LATERAL unnest(c.topics) t(topic)
    WHERE c.available AND t.topic <> '' AND NOT starts_with(t.topic, %(author_prefix)s)
    GROUP BY t.topic, c.language, period, a.user_id
), topics AS (
    SELECT topic, language, count(*) FILTER (WHERE period = 0) AS users,
           sum(greatest(1 - age / %(recent_days)s, 0)) AS recent,
           sum(least(age / %(recent_days)s, (%(baseline_days)s - age) / (%(baseline_days)s - %(recent_days)s)))
               AS baseline
    FROM users GROUP BY topic, language
)
SELECT * FROM (
    SELECT topic, language, users, recent, baseline, sum(recent) OVER l, sum(baseline) OVER l, count(*) OVER l
    FROM topics WINDOW l AS (PARTITION BY language)
) t WHERE users > 0

-- name: contents_read
-- What may be shown and got a reader since then, with its decayed sum of readers as it stands now.
SELECT c.content_id, c.language, array_remove(c.topics, NULL),
       greatest(p.sums[%(half_life)s] * power(0.5::float8, (%(now)s - p.as_of) / %(half_life_seconds)s), 0)
FROM content c JOIN recs_popularity p USING (content_id)
WHERE c.available AND cardinality(c.topics) > 0 AND p.as_of >= %(since)s

-- name: active_model
-- None where another release built it.
SELECT version, built_at, actions, items, skipped, interest_half_life_days, half_life_position, learned FROM recs_models
WHERE active AND size = %(size)s AND format = %(format)s

-- name: count_actions
-- Counts no further than it matters.
SELECT count(*) FROM (SELECT FROM user_actions LIMIT %(limit)s) l

-- name: training_actions
-- The latest actions. Of a much longer log a sample says since when about as many and some more came in, for to sort
-- all of it takes longer than to learn from them.
SELECT user_id, content_id, action, extract(epoch FROM occurred_at)::float8 FROM user_actions
WHERE received_at >= coalesce(
    (SELECT percentile_disc(1.2 * %(limit)s / c.reltuples) WITHIN GROUP (ORDER BY s.received_at DESC)
     FROM pg_class c CROSS JOIN (SELECT received_at FROM user_actions TABLESAMPLE SYSTEM (1)) s
     WHERE c.oid = 'user_actions'::regclass AND c.reltuples > 1.5 * %(limit)s GROUP BY c.reltuples), '-infinity')
ORDER BY received_at DESC LIMIT %(limit)s

-- name: content_sizes
-- The commonest first.
SELECT vector_dims(embedding::vector) AS size, count(*) FROM content WHERE embedding IS NOT NULL
GROUP BY size ORDER BY count(*) DESC, size

-- name: newest_contents
SELECT content_id FROM content WHERE vector_dims(embedding::vector) = %(size)s
ORDER BY coalesce(published_at, updated_at) DESC NULLS LAST, content_id COLLATE "C" LIMIT %(limit)s

-- name: content_sample
-- Of one size, by a hash of their ids: numbering a million rows would sort all their vectors.
SELECT content_id, embedding::vector FROM content
WHERE vector_dims(embedding::vector) = %(size)s AND hashtextextended(content_id, 0) %% %(one_in)s = 0
ORDER BY content_id COLLATE "C"

-- name: add_model
INSERT INTO recs_models (built_at, size, format, actions, items, skipped, interest_half_life_days, learned_map,
                         text_projection)
VALUES (%(built_at)s, %(size)s, %(format)s, %(actions)s, %(items)s, %(skipped)s, %(interest_half_life_days)s,
        %(learned_map)s, %(text_projection)s)
RETURNING version

-- name: put_learned
-- What is served stays as it is.
UPDATE recs_models SET half_life_position = %(position)s, learned = %(learned)s
WHERE version = %(version)s AND NOT active

-- name: unfinished_model
SELECT m.version, m.built_at, m.interest_half_life_days, m.learned
FROM recs_models m JOIN recs_state s ON s.name = %(name)s AND s.value = m.version::text
WHERE NOT m.active AND m.size = %(size)s AND m.format = %(format)s

-- name: may_activate
SELECT EXISTS (SELECT FROM recs_models WHERE version = %(version)s)
   AND NOT EXISTS (SELECT FROM recs_models WHERE active AND version >= %(version)s)

-- name: learned_map
SELECT learned_map FROM recs_models WHERE version = %(version)s

-- name: text_projection
SELECT text_projection FROM recs_models WHERE version = %(version)s

-- name: content_vectors_of
-- Of these, those that have one of that size.
SELECT content_id, embedding::vector FROM content
WHERE content_id = ANY(%(content_ids)s) AND vector_dims(embedding::vector) = %(size)s

-- name: copy_item_vectors
COPY recs_item_vectors (version, content_id, embedding) FROM STDIN (FORMAT binary)

-- name: copy_items
COPY recs_items (version, position, content_id, statistics, vectors, circle, neighbours, neighbour_values)
FROM STDIN (FORMAT binary)

-- name: retire_models
UPDATE recs_models SET active = false WHERE active

-- name: activate_model
UPDATE recs_models SET active = true WHERE version = %(version)s

-- name: delete_old_models
-- Readers may still hold the version before the active one: it stays until it is an hour old.
WITH gone AS (DELETE FROM recs_models WHERE NOT active AND built_at < %(before)s RETURNING version),
     items AS (DELETE FROM recs_items WHERE version IN (SELECT version FROM gone))
DELETE FROM recs_item_vectors WHERE version IN (SELECT version FROM gone)

-- name: item_vectors
-- Of these items those that have one: their places, and their vectors one after the other. The limit has each looked up.
SELECT array_agg(w.number::int4), string_agg(vector_send(v.embedding), ''::bytea)
FROM unnest(%(content_ids)s::text[]) WITH ORDINALITY w(content_id, number)
CROSS JOIN LATERAL (SELECT embedding FROM recs_item_vectors
                    WHERE version = %(version)s AND content_id = w.content_id LIMIT 1) v

-- name: users_to_update
-- An action may be committed some time after its receipt. Grouping is many times faster than sorting for a union.
WITH wanted AS (
    SELECT user_id, coalesce(e.updated_at, '-infinity') AS place
    FROM (SELECT user_id, max(received_at) AS received_at FROM user_actions
          WHERE received_at >= %(since)s GROUP BY user_id) a
    FULL JOIN user_embeddings e USING (user_id)
    WHERE e.user_id IS NULL OR e.model_version <> %(version)s OR e.updated_at < a.received_at + %(overlap)s
) {split}

-- name: put_embeddings
INSERT INTO user_embeddings (user_id, embedding, updated_at, model_version)
SELECT user_id, embedding, %(now)s, %(version)s
FROM unnest(%(user_ids)s::text[], %(embeddings)b::vector[]) g(user_id, embedding)
ON CONFLICT (user_id) DO UPDATE
SET embedding = excluded.embedding, updated_at = excluded.updated_at, model_version = excluded.model_version

-- name: delete_embeddings
DELETE FROM user_embeddings WHERE user_id = ANY(%(user_ids)s)

-- name: state
SELECT value FROM recs_state WHERE name = %(name)s

-- name: put_state
INSERT INTO recs_state VALUES (%(name)s, %(value)s) ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: embedding_counts
SELECT count(*), extract(epoch FROM max(updated_at))::float8 FROM user_embeddings

-- name: lock_schema
SELECT pg_advisory_xact_lock(7240220)

-- name: columns
-- The columns of a relation as the search path finds it, with their types.
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass(%(relation)s) AND attnum > 0 AND NOT attisdropped

-- name: grants
-- The rights that a role needs beside a schema that somebody else owns. Content is the app's to write.
SELECT format('GRANT SELECT ON content TO %1$I;
GRANT SELECT, INSERT, UPDATE, DELETE ON user_actions, user_embeddings, recs_popularity, recs_contenders,
    recs_models, recs_items, recs_item_vectors, recs_new_contents, recs_forgotten, recs_shards,
    recs_state TO %1$I;', current_user)

-- name: missing_rights
-- What of those rights the role of the connection lacks on tables that exist.
SELECT t.name, p.name
FROM unnest(ARRAY['user_actions', 'user_embeddings', 'recs_popularity', 'recs_contenders', 'recs_models', 'recs_items',
                  'recs_item_vectors', 'recs_new_contents', 'recs_forgotten', 'recs_shards', 'recs_state', 'content'])
         WITH ORDINALITY AS t (name, position),
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS p (name, position)
WHERE to_regclass(t.name) IS NOT NULL AND (t.name <> 'content' OR p.name = 'SELECT')
  AND NOT has_table_privilege(to_regclass(t.name), p.name)
ORDER BY t.position, p.position

-- name: server
SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')

-- name: delete_doomed
-- Answers as insert_actions does, of what went. (A fragment, after a list of doomed ids.)
, changed AS (
    DELETE FROM user_actions WHERE event_id IN (SELECT event_id FROM doomed)
    RETURNING user_id, content_id, action, occurred_at
), {counted_pairs}
SELECT (SELECT count(*) FROM changed), 0, p.* FROM pairs p

-- name: prune_actions
-- Deletes some events that were received too long ago.
WITH doomed AS (SELECT event_id FROM user_actions WHERE received_at < %(before)s LIMIT %(limit)s)
{delete_doomed}

-- name: forget_actions
-- Deletes some events of one user.
WITH doomed AS (SELECT event_id FROM user_actions WHERE user_id = %(user_id)s LIMIT %(limit)s)
{delete_doomed}

-- name: delete_unpopular
-- Of these contents, those that nobody's counted action is left of: the sum that never decays is a plain count.
DELETE FROM recs_popularity WHERE content_id = ANY(%(content_ids)s) AND sums[array_upper(sums, 1)] < 0.5

-- name: delete_orphans
-- Embeddings of users of whom the log knows nothing any more.
DELETE FROM user_embeddings e WHERE NOT EXISTS (SELECT FROM user_actions a WHERE a.user_id = e.user_id)

-- name: lock_forgetting
-- Nobody writes an embedding from a history that was read before its user was forgotten: whoever forgets waits for
-- those that are being written.
SELECT pg_advisory_xact_lock(7240221)

-- name: share_forgetting
SELECT pg_advisory_xact_lock_shared(7240221)

-- name: put_forgotten
INSERT INTO recs_forgotten (user_hash, forgotten_at)
SELECT {user_hash}, clock_timestamp() FROM ({hash_key}) k, (SELECT %(user_id)s::text AS user_id) g
ON CONFLICT (user_hash) DO UPDATE SET forgotten_at = excluded.forgotten_at

-- name: delete_forgotten
-- What happened before then is too old to be pushed again.
DELETE FROM recs_forgotten WHERE forgotten_at < %(before)s

-- name: lock_models
-- Two runs that learned at the same time switch one after the other.
SELECT pg_advisory_xact_lock(7240222)

-- name: latest_run
SELECT run, bool_and(done_at IS NOT NULL) FROM recs_shards WHERE job = %(job)s GROUP BY run ORDER BY run DESC LIMIT 1

-- name: delete_runs
-- Those before this one. Answers how many of their shards were not done.
WITH gone AS (DELETE FROM recs_shards WHERE job = %(job)s AND run < %(run)s RETURNING done_at)
SELECT count(*) FROM gone WHERE done_at IS NULL

-- name: count_shards
SELECT count(*), coalesce(sum(size - done), 0) FROM recs_shards WHERE job = %(job)s AND run = %(run)s

-- name: unbegun_shards
SELECT shard FROM recs_shards WHERE job = %(job)s AND run = %(run)s AND touched_at IS NULL AND done_at IS NULL
ORDER BY shard

-- name: this_shard
-- (A fragment.)
WHERE job = %(job)s AND run = %(run)s AND shard = %(shard)s AND done_at IS NULL

-- name: begin_shard
-- No row where it is done, or another run has taken its place.
UPDATE recs_shards SET touched_at = clock_timestamp() {this_shard} RETURNING done, users[done + 1:]

-- name: advance_shard
UPDATE recs_shards SET done = greatest(done, %(done)s), touched_at = clock_timestamp() {this_shard} RETURNING done

-- name: lock_run
-- Of two shards that end at the same time the second one sees that it is the last.
SELECT pg_advisory_xact_lock(7240223, hashtext(%(job)s))

-- name: end_shard
UPDATE recs_shards SET users = '{}', done = size, touched_at = clock_timestamp(), done_at = clock_timestamp()
{this_shard} RETURNING begun_at

-- name: is_run_done
SELECT NOT EXISTS (SELECT FROM recs_shards WHERE job = %(job)s AND run = %(run)s AND done_at IS NULL)

-- name: forget_in_shards
-- The others keep their places.
UPDATE recs_shards SET users = array_replace(users, %(user_id)s, NULL) WHERE %(user_id)s = ANY(users)

-- name: latest_runs
-- How far the latest run of each job has come.
SELECT DISTINCT ON (job) job, run, extract(epoch FROM min(begun_at))::float8,
       coalesce(extract(epoch FROM max(touched_at)), 0)::float8,
       CASE WHEN bool_and(done_at IS NOT NULL) THEN extract(epoch FROM max(done_at))::float8 END,
       count(*), sum(size), sum(done)
FROM recs_shards GROUP BY job, run ORDER BY job, run DESC

-- name: shards_left
SELECT shard, size, done, extract(epoch FROM touched_at)::float8 FROM recs_shards
WHERE job = %(job)s AND run = %(run)s AND done_at IS NULL ORDER BY shard

-- The tables of the recommender. Safe to run again. `content` may be a view of yours: make it before this.

CREATE EXTENSION IF NOT EXISTS vector;

-- The log. A user's state is a function of it.
CREATE TABLE IF NOT EXISTS user_actions (
    event_id    text PRIMARY KEY,
    user_id     text NOT NULL,
    content_id  text NOT NULL,
    action      text NOT NULL,
    value       double precision,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
-- All that a history is made of, so that reading one doesn't look up its rows, which lie anywhere in the table. Where
-- it has changed since it was vacuumed they are looked up nonetheless: it is to be vacuumed more often than others.
CREATE INDEX IF NOT EXISTS user_actions_histories ON user_actions (user_id, content_id, occurred_at, action);
DROP INDEX IF EXISTS user_actions_by_user, user_actions_by_user_and_content; -- of earlier releases
ALTER TABLE user_actions SET (autovacuum_vacuum_insert_scale_factor = 0.05);
CREATE INDEX IF NOT EXISTS user_actions_by_receipt ON user_actions USING brin (received_at);

-- The two-hourly projection of the log: unit length, or zero while nothing is known of what the user read.
CREATE TABLE IF NOT EXISTS user_embeddings (
    user_id       text PRIMARY KEY,
    embedding     vector NOT NULL,
    updated_at    timestamptz NOT NULL,
    model_version bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS user_embeddings_by_update ON user_embeddings (updated_at DESC);

-- The app writes this one.
CREATE TABLE IF NOT EXISTS content (
    content_id   text PRIMARY KEY,
    embedding    vector,
    topics       text[] NOT NULL DEFAULT '{}',
    language     text,
    published_at timestamptz,
    available    boolean NOT NULL DEFAULT true,
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- A read asks for the newest content. Where it is a view, the table under it should have these.
DO $$ BEGIN
    CREATE INDEX IF NOT EXISTS content_by_publication
        ON content ((coalesce(published_at, updated_at)) DESC NULLS LAST);
    CREATE INDEX IF NOT EXISTS content_by_language
        ON content (language, (coalesce(published_at, updated_at)) DESC NULLS LAST);
EXCEPTION WHEN wrong_object_type OR insufficient_privilege -- a view, or somebody else's: it does without
    OR undefined_column OR datatype_mismatch OR invalid_object_definition THEN NULL; -- which the check reports
END $$;

-- Decayed sums of users' first actions, one for each half-life of lib/core/defaults.py, at the time as_of.
CREATE TABLE IF NOT EXISTS recs_popularity (
    content_id text PRIMARY KEY,
    as_of      double precision NOT NULL,  -- unix seconds: arithmetic with it is plain
    sums       double precision[] NOT NULL
);

-- What the content's language was when the contenders were chosen last; null where it was not known then.
ALTER TABLE recs_popularity ADD COLUMN IF NOT EXISTS language text;

-- When it was first met, as far as the drain that met it could tell (unix seconds); null: before there was this column.
ALTER TABLE recs_popularity ADD COLUMN IF NOT EXISTS first_at double precision;

-- What can be a candidate for everybody, of all contents and of each language (lib/core/contenders.py), and which choice
-- of them it belongs to.
CREATE TABLE IF NOT EXISTS recs_contenders (
    pool       text NOT NULL,
    content_id text NOT NULL,
    generation bigint NOT NULL,
    PRIMARY KEY (pool, content_id)
);

-- Versions of the item vectors. A learned space turns from run to run, so versions never mix.
CREATE TABLE IF NOT EXISTS recs_models (
    version  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    built_at timestamptz NOT NULL,
    active   boolean NOT NULL DEFAULT false,
    size     integer NOT NULL, -- of a vector
    actions  bigint NOT NULL,
    items    integer NOT NULL,
    skipped  integer NOT NULL -- rows of content whose vector had another size
);
CREATE UNIQUE INDEX IF NOT EXISTS recs_models_one_active ON recs_models (active) WHERE active;
CREATE TABLE IF NOT EXISTS recs_item_vectors (
    version    bigint NOT NULL,
    content_id text NOT NULL,
    embedding  vector NOT NULL,
    PRIMARY KEY (version, content_id)
);

-- How fast popularity decays (lib/core/half_lives.py), and what else was learned of the ranking: JSON, see
-- lib/core/ranker/learned.py.
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS half_life_position double precision;
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS learned text;
-- The map for users' vectors (lib/core/taste/learned_map.py): size * size float32, row by row.
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS learned_map bytea;
-- What a model knows of each item as of its building: statistics, vectors and neighbours, as lib/adapters/item_store.py
-- packs them. Neighbours are positions, which number the items of one version.
CREATE TABLE IF NOT EXISTS recs_items (
    version          bigint NOT NULL,
    position         integer NOT NULL,
    content_id       text NOT NULL,
    statistics       double precision[] NOT NULL,
    vectors          bytea NOT NULL,
    neighbours       bytea NOT NULL,
    neighbour_values bytea NOT NULL,
    PRIMARY KEY (version, position)
);
CREATE UNIQUE INDEX IF NOT EXISTS recs_items_by_content ON recs_items (version, content_id);

-- What the circle of each item likes of the new (lib/core/taste/new_items.py), float32; what brings the app's content
-- vectors to our size (lib/core/embeddings.py): float32, for each of their dimensions the centre and then the axes; and
-- in which format (lib/core/defaults.py) a model is stored: what has another one counts as no model.
ALTER TABLE recs_items ADD COLUMN IF NOT EXISTS circle bytea;
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS text_projection bytea;
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS interest_half_life_days double precision;
ALTER TABLE recs_models ADD COLUMN IF NOT EXISTS format integer;

-- What the content that nobody has met says of itself, on the axes (lib/adapters/new_contents.py) of the models that
-- know them. Of a large catalogue users get what suits them best of it by the index; half precision halves that.
CREATE TABLE IF NOT EXISTS recs_new_contents (
    content_id text PRIMARY KEY,
    axes       bigint NOT NULL,
    embedding  halfvec(64) NOT NULL
);
CREATE INDEX IF NOT EXISTS recs_new_contents_by_taste ON recs_new_contents USING hnsw (embedding halfvec_ip_ops);

-- Who asked to be forgotten, so that what arrives late doesn't bring him back. A keyed hash names nobody.
CREATE TABLE IF NOT EXISTS recs_forgotten (
    user_hash    bytea PRIMARY KEY,
    forgotten_at timestamptz NOT NULL
);

-- The shards of a job's latest run that was too much for one invocation (lib/core/shards.py). Of `users` the first `done`
-- are done; all go when the shard is done, and who is forgotten is null in his place.
CREATE TABLE IF NOT EXISTS recs_shards (
    job        text NOT NULL,
    run        bigint NOT NULL, -- unix seconds
    shard      integer NOT NULL,
    users      text[] NOT NULL,
    size       integer NOT NULL, -- users at first
    done       integer NOT NULL DEFAULT 0,
    begun_at   timestamptz NOT NULL, -- of the run
    touched_at timestamptz, -- begun, or last got on
    done_at    timestamptz,
    PRIMARY KEY (job, run, shard)
);

-- How far the embeddings' job has read the log, which model it began last, the key of the hashes above, and which schema
-- this is.
CREATE TABLE IF NOT EXISTS recs_state (
    name  text PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO recs_state VALUES ('hash_key', gen_random_uuid()::text || gen_random_uuid()::text) ON CONFLICT DO NOTHING;
INSERT INTO recs_state VALUES ('schema', '8') ON CONFLICT (name) DO UPDATE SET value = excluded.value;

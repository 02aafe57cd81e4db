"""What the vendors ask, and where their plans end. Dollars; a month has 30 days.

What is marked as assumed nobody could check without an account; every figure can be overridden with --set.
"""

from dataclasses import dataclass

GB = 1e9

REDIS = ("https://upstash.com/pricing/redis", "2026-09-20")
QSTASH = ("https://upstash.com/pricing/qstash", "2026-08")
VERCEL = ("https://vercel.com/docs/functions/usage-and-pricing (iad1)", "2026-11-25, in a copy")
VERCEL_LIMITS = ("https://vercel.com/docs/functions/limitations", "2026-08-24")
NEON = ("https://neon.com/docs/introduction/plans", "2026-11-12")
NEON_POOL = ("https://neon.com/docs/connect/connection-pooling", "2026-11-14")
ASSUMED = ("", "")

SOURCES = {
    "qstash_a_message": QSTASH,
    "qstash_fixed": QSTASH,
    "qstash_free_messages_a_day": QSTASH,
    "qstash_free_parallelism": QSTASH,
    "qstash_parallelism": QSTASH,
    "redis_a_command": REDIS,
    "redis_a_gb_sent": REDIS,
    "redis_free_gb_sent": REDIS,
    "redis_a_gb_kept": REDIS,
    "redis_fixed": REDIS,
    "redis_most_gb_kept": REDIS,
    "redis_free_commands_a_month": REDIS,
    "redis_free_gb_kept": REDIS,
    "redis_commands_a_second": REDIS,
    "redis_request_bytes": REDIS,
    "redis_record_bytes": REDIS,
    "vercel_a_cpu_second": VERCEL,
    "vercel_a_gb_second": VERCEL,
    "vercel_an_invocation": VERCEL,
    "vercel_gb": VERCEL_LIMITS,
    "vercel_free_cpu_hours": VERCEL,
    "vercel_free_gb_hours": VERCEL,
    "vercel_free_invocations": VERCEL,
    "vercel_concurrency": VERCEL_LIMITS,
    "vercel_requests_an_instance": ASSUMED,
    "neon_a_cu_hour": NEON,
    "neon_a_gb_kept": NEON,
    "neon_a_gb_of_history": NEON,
    "neon_history_days": ASSUMED,
    "neon_a_gb_sent": NEON,
    "neon_free_gb_sent": NEON,
    "neon_free_cu_hours": NEON,
    "neon_free_gb_kept": NEON,
    "neon_least_cu": NEON,
    "neon_most_cu": NEON,
    "neon_most_gb_kept": NEON,
    "neon_pooled_connections": NEON_POOL,
    "neon_connections_a_cu": NEON_POOL,
    "cores_a_cu": ASSUMED,
    "postgres_load": ASSUMED,
}


@dataclass(frozen=True)
class Prices:
    """Named as in SOURCES. A fixed plan is (dollars a month, what it holds, ...)."""

    qstash_a_message: float = 1 / 100_000
    qstash_fixed: tuple[tuple[float, float], ...] = ((180, 1_000_000), (420, 10_000_000))
    qstash_free_messages_a_day: float = 1_000
    qstash_free_parallelism: float = 10
    qstash_parallelism: float = 100
    redis_a_command: float = 0.2 / 100_000
    redis_a_gb_sent: float = 0.03
    redis_free_gb_sent: float = 200
    redis_a_gb_kept: float = 0.25
    redis_fixed: tuple[tuple[float, float, float], ...] = (
        (10, 0.25, 50),
        (20, 1, 100),
        (100, 5, 500),
        (200, 10, 1_000),
        (400, 50, 5_000),
        (800, 100, 10_000),
        (1_500, 500, 20_000),
    )
    redis_most_gb_kept: float = 100
    redis_free_commands_a_month: float = 500_000
    redis_free_gb_kept: float = 0.256
    redis_commands_a_second: float = 10_000
    redis_request_bytes: float = 10e6
    redis_record_bytes: float = 100e6
    vercel_a_cpu_second: float = 0.128 / 3_600
    vercel_a_gb_second: float = 0.0106 / 3_600
    vercel_an_invocation: float = 0.6e-6
    vercel_gb: float = 2
    vercel_free_cpu_hours: float = 4
    vercel_free_gb_hours: float = 360
    vercel_free_invocations: float = 1e6
    vercel_concurrency: float = 30_000
    vercel_requests_an_instance: float = 1
    neon_a_cu_hour: float = 0.106
    neon_a_gb_kept: float = 0.35
    neon_a_gb_of_history: float = 0.2
    neon_history_days: float = 1
    neon_a_gb_sent: float = 0.1
    neon_free_gb_sent: float = 100
    neon_free_cu_hours: float = 100
    neon_free_gb_kept: float = 0.5
    neon_least_cu: float = 0.25
    neon_most_cu: float = 56
    neon_most_gb_kept: float = 16_000
    neon_pooled_connections: float = 10_000
    neon_connections_a_cu: float = 419
    cores_a_cu: float = 1
    postgres_load: float = 0.5

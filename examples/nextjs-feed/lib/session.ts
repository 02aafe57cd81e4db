// lib/session.ts
import "server-only";
import { cookies } from "next/headers";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Who reads, or null for a visitor who has done nothing yet. Ask your sign-in first where you have one. */
export async function readerId(): Promise<string | null> {
  const visitor = (await cookies()).get("reader")?.value ?? "";
  return UUID.test(visitor) ? `visitor:${visitor}` : null; // the prefix: no cookie can name a user who signs in
}

/** For route handlers and server actions, which may set a cookie: a visitor's first action makes him a reader. */
export async function becomeReader(): Promise<string> {
  const known = await readerId();
  if (known !== null) return known;
  const visitor = crypto.randomUUID();
  const secure = process.env.NODE_ENV === "production";
  (await cookies()).set("reader", visitor, { httpOnly: true, sameSite: "lax", secure, maxAge: 31_536_000 });
  return `visitor:${visitor}`;
}

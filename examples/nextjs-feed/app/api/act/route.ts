// app/api/act/route.ts
import { readerAction } from "@/lib/reader-action";
import { pushAction } from "@/lib/recommendations";
import { becomeReader } from "@/lib/session";

export async function POST(request: Request): Promise<Response> {
  const action = readerAction(await request.json().catch(() => null));
  if (action === null) return Response.json({ error: "id, contentId and action are needed" }, { status: 400 });
  await pushAction(await becomeReader(), action);
  return new Response(null, { status: 202 });
}

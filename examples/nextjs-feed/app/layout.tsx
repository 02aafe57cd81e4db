import type { Metadata } from "next";
import type { ReactNode } from "react";
import { readerLanguage, WORDS } from "@/lib/language";
import "./style.css";

export async function generateMetadata(): Promise<Metadata> {
  return { title: WORDS[await readerLanguage()].title };
}

export default async function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang={await readerLanguage()}>
      <body>{children}</body>
    </html>
  );
}

/** As much of a browser as logging in takes: cookies by path, forms, redirects one at a time. */
export type Browser = {
  get(url: string, headers?: Record<string, string>): Promise<Visit>;
  post(url: string, fields: Record<string, string>, headers?: Record<string, string>): Promise<Visit>;
  /** Follows redirects while they lead to `origin`; the last answer, or the redirect that leaves. */
  follow(visit: Visit, origin: string): Promise<Visit>;
  cookies(): readonly Cookie[];
};

export type Visit = {
  url: string;
  status: number;
  headers: Headers;
  body: string;
  location: string | undefined;
};

export type Cookie = { name: string; value: string; path: string; attributes: string };

export function openBrowser(userAgent = 'Test browser'): Browser {
  const jar = new Map<string, Cookie>();

  async function send(url: string, extra: Record<string, string>, init: RequestInit = {}): Promise<Visit> {
    const { pathname } = new URL(url);
    const cookie = [...jar.values()]
      .filter(({ path }) => path === '/' || pathname === path || pathname.startsWith(`${path}/`))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const headers = {
      'user-agent': userAgent,
      accept: 'text/html',
      ...(cookie === '' ? {} : { cookie }),
      ...extra,
    };
    const response = await fetch(url, {
      ...init,
      headers,
      redirect: 'manual',
    });
    for (const text of response.headers.getSetCookie()) store(text);
    const location = response.headers.get('location');
    return {
      url,
      status: response.status,
      headers: response.headers,
      body: await response.text(),
      location: location === null ? undefined : new URL(location, url).href,
    };
  }

  function store(text: string): void {
    const [pair = '', ...attributes] = text.split(/;\s*/);
    const name = pair.slice(0, pair.indexOf('='));
    const value = pair.slice(pair.indexOf('=') + 1);
    const path = attributes.find((one) => /^path=/i.test(one))?.slice(5) ?? '/';
    const key = `${name} ${path}`;
    if (value === '') jar.delete(key);
    else jar.set(key, { name, value, path, attributes: attributes.join('; ') });
  }

  const get: Browser['get'] = (url, headers = {}) => send(url, headers);
  const post: Browser['post'] = (url, fields, headers = {}) =>
    send(url, headers, { method: 'POST', body: new URLSearchParams(fields) });

  return {
    get,
    post,
    follow: async (visit, origin) => {
      let at = visit;
      for (let steps = 0; steps < 10; steps += 1) {
        if (at.location === undefined || !at.location.startsWith(origin)) return at;
        at = await get(at.location);
      }
      throw new Error('too many redirects');
    },
    cookies: () => [...jar.values()],
  };
}

export type Form = { action: string; fields: Record<string, string> };

/** The forms of a page, with the values their fields have. */
export function formsOf(visit: Visit): Form[] {
  return [...visit.body.matchAll(/<form\b(?<attributes>[^>]*)>(?<content>.*?)<\/form>/gs)].map(
    ({ groups }) => {
      const inputs = [...(groups?.['content'] ?? '').matchAll(/<input\b(?<attributes>[^>]*)>/gs)];
      const fields = inputs.map(({ groups: input }) => {
        const text = input?.['attributes'] ?? '';
        return [attribute(text, 'name') ?? '', attribute(text, 'value') ?? ''];
      });
      const action = new URL(attribute(groups?.['attributes'] ?? '', 'action') ?? '', visit.url).href;
      return { action, fields: Object.fromEntries(fields) as Record<string, string> };
    },
  );
}

const attribute = (text: string, name: string): string | undefined =>
  new RegExp(`\\b${name}="(?<value>[^"]*)"`).exec(text)?.groups?.['value'];

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { html, trustedHtml } from '../../src/identity/interaction/html.ts';
import {
  familyOf,
  generateFamilyKey,
  generateRefreshTokenId,
  isOfFamily,
} from '../../src/identity/session/refresh-token-id.ts';
import { callerHash, deviceLabel } from '../../src/identity/request/request-context.ts';
import { decrypt, encrypt, hashOf, seal, unseal } from '../../src/identity/store/sealing.ts';
import { formTargetOf } from '../../src/identity/endpoint/security-headers.ts';

describe('sealing', () => {
  it('decrypts any text with its secret, and nothing with another', () => {
    fc.assert(
      fc.property(fc.string(), fc.string({ minLength: 1 }), fc.string(), (text, secret, other) => {
        fc.pre(secret !== other);
        const sealed = seal(secret, 'RefreshToken', text);
        expect(unseal(secret, 'RefreshToken', sealed)).toBe(text);
        expect(unseal(other, 'RefreshToken', sealed)).toBeUndefined();
        expect(unseal(secret, 'AuthorizationCode', sealed)).toBeUndefined();
      }),
    );
  });

  it('detects every changed bit', () => {
    const key = new Uint8Array(32);
    const bytes = Buffer.from(encrypt(key, 'text', 'context'), 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(decrypt(key, changed.toString('base64url'), 'context')).toBeUndefined();
    }
    expect(decrypt(key, 'short', 'context')).toBeUndefined();
  });

  it('finds a token under its own kind only', () => {
    expect(hashOf('RefreshToken', 'abc')).not.toBe(hashOf('AuthorizationCode', 'abc'));
  });
});

describe('a refresh token', () => {
  const familyKey = generateFamilyKey();
  const grantId = 'g'.repeat(43);

  it("names its grant and is verified with the grant's key", () => {
    const id = generateRefreshTokenId(grantId, familyKey);
    expect(familyOf(id)).toBe(grantId);
    expect(isOfFamily(id, familyKey)).toBe(true);
    expect(isOfFamily(id, generateFamilyKey())).toBe(false);
  });

  it("cannot be forged with the session's id", () => {
    const id = generateRefreshTokenId(grantId, familyKey);
    const [random = '', , mark = ''] = id.split('.');
    const other = 'h'.repeat(43);
    expect(isOfFamily(`${random}.${other}.${mark}`, familyKey)).toBe(false);
    expect(isOfFamily(`${random.slice(0, -1)}_.${grantId}.${mark}`, familyKey)).toBe(random.endsWith('_'));
    expect(isOfFamily(`${random}.${grantId}.${'A'.repeat(22)}`, familyKey)).toBe(false);
  });

  it('is distinguished from any other text', () => {
    fc.assert(fc.property(fc.string(), (text) => !isOfFamily(text, familyKey)));
    expect(familyOf('')).toBeUndefined();
  });
});

describe('a device', () => {
  it('has a bounded, printable label', () => {
    expect(deviceLabel(undefined)).toBe('');
    expect(deviceLabel('Mozilla/5.0\u0000\u001b[31mé')).toBe('Mozilla/5.0??[31m?');
    expect(deviceLabel('x'.repeat(1000))).toHaveLength(256);
  });

  it('is distinguished by address and label', () => {
    const caller = { address: '10.0.0.1', device: 'curl' };
    expect(callerHash(caller)).toBe(callerHash({ ...caller }));
    expect(callerHash(caller)).not.toBe(callerHash({ ...caller, address: '10.0.0.2' }));
  });
});

describe('a page', () => {
  it('escapes every value', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { markup } = html`<a title="${text}">${text}</a>`;
        const inside = markup.slice('<a title="'.length, -'</a>'.length);
        return !/[<>'](?!a)/.test(inside.replace(/">/, ''));
      }),
    );
    expect(html`<p>${'<b>"&\''}</p>`.markup).toBe('<p>&lt;b&gt;&quot;&amp;&#39;</p>');
    expect(html`${[html`<i>1</i>`, trustedHtml('<b>2</b>')]}${undefined}`.markup).toBe('<i>1</i><b>2</b>');
  });

  it('may redirect a form to an origin, or to the URL scheme of an app', () => {
    expect(formTargetOf('https://app.example:8443/cb?x=1;y')).toBe('https://app.example:8443');
    expect(formTargetOf('com.example.app:/cb')).toBe('com.example.app:');
    expect(formTargetOf("https://app.example'; script-src *")).toBeUndefined();
    expect(formTargetOf('https://app.example;script-src/cb')).toBeUndefined();
    expect(formTargetOf('http://[::1]:3000/cb')).toBe('http://[::1]:3000');
    expect(formTargetOf(undefined)).toBeUndefined();
    expect(formTargetOf(7)).toBeUndefined();
  });
});

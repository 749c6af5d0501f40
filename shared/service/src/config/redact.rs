//! Blots out secrets that stand in the text of a spec, so that messages can quote its lines.
//!
//! Works on the text alone, because text that is not valid YAML is quoted too. When in doubt, it blots out more.

use std::ops::Range;

/// Keys whose values are secrets. Who knows the address of a webhook may post there.
const SECRETS: [&str; 4] = ["password", "secret", "slack", "webhook"];

/// The text with every inline secret replaced by asterisks, byte for byte, and without what a terminal would obey.
pub(super) fn redact(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()) {
        *byte = b'?';
    }
    let secrets = SECRETS.into_iter().flat_map(|key| values_of(key, text));
    for secret in secrets.chain(url_passwords(text)) {
        for range in literal_parts(&text[secret.clone()]) {
            for byte in &mut bytes[secret.start + range.start..secret.start + range.end] {
                if !byte.is_ascii_whitespace() {
                    *byte = b'*';
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What follows each `key:`.
fn values_of(key: &str, text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, key) in text.match_indices(key) {
        let rest = &text[at + key.len()..];
        let after_key = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start_matches([' ', '\t']);
        let Some(value) = after_key.strip_prefix(':') else {
            continue;
        };
        let value = value.trim_start_matches([' ', '\t']);
        let start = text.len() - value.len();
        let is_flow = text[..at].trim_end_matches(['"', '\'', ' ', '\t', '\n', '\r']).ends_with(['{', ',']);
        found.push(start..start + value_len(value, is_flow, indentation(text, at)));
    }
    found
}

fn value_len(value: &str, is_flow: bool, indentation: usize) -> usize {
    match value.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => quoted_len(value, char::from(*quote)),
        _ if is_flow => value.find([',', '}', '\n']).unwrap_or(value.len()),
        _ => block_len(value, indentation),
    }
}

/// Up to the closing quote, or to the end if there is none. Inside, `\"` or `''` stand for the quote itself.
fn quoted_len(value: &str, quote: char) -> usize {
    let mut chars = value.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let is_doubled = quote == '\'' && chars.peek().is_some_and(|(_at, next)| *next == quote);
        if c == quote && !is_doubled {
            return at + 1;
        }
        if c == quote || (c == '\\' && quote == '"') {
            chars.next();
        }
    }
    value.len()
}

/// The rest of the line and all following lines that are further in.
fn block_len(value: &str, indentation: usize) -> usize {
    let mut len = 0;
    for (i, line) in value.split_inclusive('\n').enumerate() {
        let depth = line.len() - line.trim_start_matches(' ').len();
        if i > 0 && depth <= indentation && !line.trim().is_empty() {
            break;
        }
        len += line.len();
    }
    len
}

/// Spaces before the key; list dashes count as such.
fn indentation(text: &str, at: usize) -> usize {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[line_start..at].trim_end_matches(['"', '\'']).len()
}

/// What stands between `:` and `@` in `scheme://user:password@`.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let line = text[start..].lines().next().unwrap_or("");
        let user_info = line.rfind('@').map_or("", |end| &line[..end]);
        if let Some(colon) = user_info.find(':').filter(|_| !user_info.is_empty()) {
            found.push(start + colon + 1..start + user_info.len());
        }
    }
    found
}

/// What is left of a value without its references; the default inside of one counts as literal.
fn literal_parts(value: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(open) = value[at..].find("${").map(|found| at + found) {
        let Some(close) = value[open..].find('}').map(|found| open + found) else {
            break;
        };
        parts.push(at..open);
        if let Some(default) = value[open..close].find(":-") {
            parts.push(open + default + 2..close);
        }
        at = close + 1;
    }
    parts.push(at..value.len());
    let is_only_punctuation =
        |range: &Range<usize>| value[range.clone()].trim_matches(['"', '\'', '\n', ' ']).is_empty();
    parts.retain(|range| !is_only_punctuation(range));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_blotted_out_wherever_they_stand() {
        for text in [
            "password: hunter2",
            "  password:   hunter2 # why",
            "{ user: a, password: hunter2, tls: off }",
            "{ password: hunter2}",
            "{\n user: a,\n 'password' : \"hun\\\"hunter2\"\n}",
            "password: 'it''s hunter2'",
            "password: |\n  hunter2\n  hunter2\nnext: 1",
            "password: >-\n\n  hunter2\n",
            "source: mysql://app:hunter2@db/shop",
            "source: mysql://app:p@hunter2@db/shop",
            "password: ${env:X:-hunter2}",
            "password: x${env:X}hunter2",
            "password: \"hunter2",
            "alerts: [{ slack: https://hooks/hunter2 }, { webhook: 'https://a/hunter2', secret: hunter2 }]",
        ] {
            let redacted = redact(text);
            assert!(!redacted.contains("hunter2"), "{redacted}");
            assert_eq!(redacted.len(), text.len());
            assert_eq!(redacted.matches('\n').count(), text.matches('\n').count());
        }
    }

    #[test]
    fn a_terminal_is_not_given_orders() {
        assert_eq!(redact("a: \u{1b}[2J\n\tb"), "a: ?[2J\n\tb");
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "password: \"${env:PW}\"\nhost: db",
            "password: ${file:/run/pw}",
            "source: mysql://app@db/shop",
            "source: mysql://app:${env:PW}@db/shop",
            "exclude: [password_hash]",
            "- from: password\n  to: x",
        ] {
            assert_eq!(redact(text), text);
        }
        assert_eq!(redact("{ password: abc, tls: of }"), "{ password: ***, tls: of }");
        assert_eq!(redact("a:\n  password: abc\n  tls: of"), "a:\n  password: ***\n  tls: of");
    }
}

//! Rust source with what is not code blanked out.

/// A file twice, line by line and byte by byte as it was: without comments, and without comments and literals.
pub(super) struct Source {
    pub(super) code: String,
    pub(super) bare: String,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut code, mut bare) = (bytes.to_vec(), bytes.to_vec());
        let mut at = 0;
        while at < bytes.len() {
            let (end, is_comment) = token(bytes, at);
            if end > at {
                if is_comment {
                    blank(&mut code[at..end]);
                }
                blank(&mut bare[at..end]);
            }
            at = end.max(at + 1);
        }
        // Whole tokens are blanked, so no character is cut in two.
        let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
        Self { code: text(code), bare: text(bare) }
    }

    /// The code without the items that only tests compile.
    pub(super) fn without_tests(mut self) -> Self {
        for attribute in ["#[cfg(test)]", "#[cfg(all(test,"] {
            while let Some(start) = self.bare.find(attribute) {
                let end = item_end(self.bare.as_bytes(), start + attribute.len());
                for text in [&mut self.code, &mut self.bare] {
                    let mut bytes = std::mem::take(text).into_bytes();
                    blank(&mut bytes[start..end]);
                    *text = String::from_utf8(bytes).unwrap_or_default();
                }
            }
        }
        self
    }
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The end of the comment or literal that begins here, or `at` if none does.
fn token(bytes: &[u8], at: usize) -> (usize, bool) {
    let rest = &bytes[at..];
    let inside_a_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return (find(bytes, at, b"\n"), true);
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut i) = (1, at + 2);
        while i < bytes.len() && depth > 0 {
            match &bytes[i..] {
                [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
                [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
                _ => i += 1,
            }
        }
        return (i, true);
    }
    if rest[0] == b'"' {
        return (quoted(bytes, at + 1, b'"'), false);
    }
    if !inside_a_name && (rest[0] == b'r' || rest.starts_with(b"br")) {
        let hashes_at = at + if rest[0] == b'b' { 2 } else { 1 };
        let hashes = bytes[hashes_at..].iter().take_while(|&&byte| byte == b'#').count();
        if bytes.get(hashes_at + hashes) == Some(&b'"') {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            return ((find(bytes, hashes_at + hashes + 1, &close) + close.len()).min(bytes.len()), false);
        }
    }
    if rest[0] == b'\'' {
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        let is_escape = rest.get(1) == Some(&b'\\');
        let width = std::str::from_utf8(&rest[1..rest.len().min(5)]).map_or_else(|error| error.valid_up_to(), str::len);
        let first = std::str::from_utf8(&rest[1..1 + width]).ok().and_then(|text| text.chars().next()).map_or(0, char::len_utf8);
        if is_escape || rest.get(1 + first) == Some(&b'\'') {
            return (quoted(bytes, at + 1, b'\''), false);
        }
    }
    (at, false)
}

/// After the closing quote.
fn quoted(bytes: &[u8], mut i: usize, quote: u8) -> usize {
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            byte if byte == quote => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..].windows(what.len()).position(|window| window == what).map_or(bytes.len(), |i| from + i)
}

/// The end of the item after an attribute: its closing brace, or a semicolon before any.
fn item_end(bare: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    for (i, byte) in bare.iter().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return i + 1,
            b'}' => depth -= 1,
            b';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    bare.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_not() {
        let text = "let a = \"// {\"; // b\nlet c = 'd'; /* e /* f */ g */ fn h<'i>() { r#\"j\"k\"#; b'\\''; 'é' }\nr#type";
        let Source { code, bare } = Source::new(text);
        assert_eq!(code, "let a = \"// {\";     \nlet c = 'd';                   fn h<'i>() { r#\"j\"k\"#; b'\\''; 'é' }\nr#type");
        assert_eq!(bare, "let a =       ;     \nlet c =    ;                   fn h<'i>() {         ; b    ;      }\nr#type");
        assert_eq!((code.len(), bare.len()), (text.len(), text.len()));
    }

    #[test]
    fn tests_are_taken_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests {\n fn b() { \"}\" }\n}\nfn c() {}\n#[cfg(all(test, feature = \"flex\"))]\nuse d;\nfn e() {}\n";
        let Source { code, .. } = Source::new(text).without_tests();
        let kept: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(kept, ["use", "a;", "fn", "c()", "{}", "fn", "e()", "{}"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn an_end_that_is_missing_is_the_end_of_the_file() {
        for text in ["\"", "/*", "r#\"", "'\\", "#[cfg(test)]", "#[cfg(test)] mod a {", "//", "'", "é'é"] {
            assert_eq!(Source::new(text).without_tests().code.len(), text.len(), "{text}");
        }
    }
}

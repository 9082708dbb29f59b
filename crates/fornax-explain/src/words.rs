//! Words coloured by what they are worth: red for, blue against, the stronger the more.

/// Of each word the share of the largest weight, with its sign: in `[−1, 1]`, 0 where all are 0 or one is no number.
fn shares(words: &[(&str, f64)]) -> Vec<f64> {
    let most = words.iter().map(|(_, weight)| weight.abs()).filter(|size| size.is_finite()).fold(0.0, f64::max);
    let share = |weight: f64| if most == 0.0 || weight.is_nan() { 0.0 } else { (weight / most).clamp(-1.0, 1.0) };
    words.iter().map(|(_, weight)| share(*weight)).collect()
}

/// From white to red, or to blue.
fn colour(share: f64) -> [u8; 3] {
    let rest = (255.0 * (1.0 - share.abs())).round() as u8;
    if share >= 0.0 { [255, rest, rest] } else { [rest, rest, 255] }
}

/// Words with their weights, for a terminal that knows 24-bit colours, in one line.
pub fn words_for_terminal(words: &[(&str, f64)]) -> String {
    let coloured = words.iter().zip(shares(words)).map(|((word, _), share)| {
        let ([r, g, b], word) = (colour(share), plain(word));
        format!("\x1b[48;2;{r};{g};{b}m\x1b[38;2;0;0;0m{word}\x1b[0m")
    });
    coloured.collect::<Vec<_>>().join(" ")
}

/// Words with their weights, as one HTML paragraph without anything from elsewhere; a word's title is its weight.
pub fn words_for_page(words: &[(&str, f64)]) -> String {
    let coloured = words.iter().zip(shares(words)).map(|((word, weight), share)| {
        let ([r, g, b], word) = (colour(share), escaped(&plain(word)));
        format!(r#"<span style="background:rgb({r},{g},{b});color:#000" title="{weight:.4}">{word}</span>"#)
    });
    format!("<p>{}</p>", coloured.collect::<Vec<_>>().join(" "))
}

/// Without characters that would steer a terminal or break a line.
fn plain(word: &str) -> String {
    word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn escaped(word: &str) -> String {
    word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_word_is_the_most_colourful_and_nothing_of_a_word_is_markup() {
        let words = [("good", 2.0), ("<b>", -1.0), ("&", 0.0), ("so\x1b[31mso", f64::NAN)];
        let page = words_for_page(&words);
        assert_eq!(
            page,
            concat!(
                r#"<p><span style="background:rgb(255,0,0);color:#000" title="2.0000">good</span> "#,
                r#"<span style="background:rgb(128,128,255);color:#000" title="-1.0000">&lt;b&gt;</span> "#,
                r#"<span style="background:rgb(255,255,255);color:#000" title="0.0000">&amp;</span> "#,
                r#"<span style="background:rgb(255,255,255);color:#000" title="NaN">so [31mso</span></p>"#
            )
        );
        let line = words_for_terminal(&words);
        assert!(line.starts_with("\x1b[48;2;255;0;0m\x1b[38;2;0;0;0mgood\x1b[0m \x1b[48;2;128;128;255m"), "{line:?}");
        // Each word has three sequences of ours and none of its own.
        assert_eq!(line.matches('\x1b').count(), 12);
        assert_eq!(words_for_page(&[]), "<p></p>");
        assert!(words_for_page(&[("a", 0.0)]).contains("rgb(255,255,255)"));
    }
}

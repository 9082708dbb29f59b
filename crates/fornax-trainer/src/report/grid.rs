use super::html::escape;
use std::fmt::Write;

/// Of a square, in pixels; and of a letter of the labels.
const SIDE: usize = 22;
const LETTER: usize = 8;
/// Of the darkest square.
const COLOUR: [f32; 3] = [20.0, 60.0, 140.0];

/// Squares as SVG text, white for 0 and dark for 1, with a label for each row and column. Empty text if there is none, or not a value for each.
pub fn grid(rows: &[String], columns: &[String], values: &[f32]) -> String {
    if rows.is_empty() || columns.is_empty() || values.len() != rows.len() * columns.len() {
        return String::new();
    }
    let room = |labels: &[String]| 12 + LETTER * labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let (left, top) = (room(rows), room(columns));
    let (width, height) = (left + SIDE * columns.len() + 8, top + SIDE * rows.len() + 8);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" style=\"max-width:{width}px\" font-family=\"monospace\" font-size=\"12\">"
    );
    // Text cannot fail to grow.
    for (i, label) in columns.iter().enumerate() {
        let (x, y) = (left + SIDE * i + SIDE / 2 + 4, top - 6);
        let _ = write!(svg, "<text transform=\"translate({x},{y}) rotate(-90)\">{}</text>", escape(label));
    }
    for (j, (label, values)) in rows.iter().zip(values.chunks_exact(columns.len())).enumerate() {
        let y = top + SIDE * j;
        let _ = write!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>", left - 6, y + SIDE / 2 + 4, escape(label));
        for (i, value) in values.iter().enumerate() {
            let share = if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 };
            let [r, g, b] = COLOUR.map(|dark| (255.0 + share * (dark - 255.0)).round() as u8);
            let _ = write!(
                svg,
                "<rect x=\"{}\" y=\"{y}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"#{r:02x}{g:02x}{b:02x}\"><title>{value:.2}</title></rect>",
                left + SIDE * i
            );
        }
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_for_each_value_and_a_label_for_each_row_and_column() {
        let labels = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let svg = grid(&labels("a <dog> ."), &labels("ein Hund"), &[1.0, 0.0, f32::NAN, 2.0, 0.5, 0.5]);
        assert_eq!((svg.matches("<rect").count(), svg.matches("<text").count()), (6, 5));
        assert!(svg.contains("&lt;dog&gt;") && svg.contains("#143c8c") && svg.contains("#ffffff"), "{svg}");
        assert_eq!(grid(&labels("a"), &labels("b c"), &[1.0]), "");
        assert_eq!(grid(&[], &labels("b c"), &[]), "");
    }
}

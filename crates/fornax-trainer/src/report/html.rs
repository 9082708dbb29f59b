use super::chart::{Line, lines};
use crate::metrics::Confusion;
use base64::Engine;
use image::{ImageFormat, RgbImage, imageops::FilterType};
use serde_json::Value;
use std::{fmt::Write, io::Cursor};

/// An example with pictures beside each other.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What is to be said about it.
    pub caption: String,
    /// Say, the image and the image under a heat map.
    pub images: Vec<RgbImage>,
}

/// What a report shows. Fill it, then [`Report::html`].
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// Names and values for the table at the top.
    pub summary: Vec<(String, String)>,
    /// The lines of metrics.jsonl.
    pub metrics: Vec<Value>,
    /// Of the validation set.
    pub confusion: Option<Confusion>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Said above the pictures.
    pub pictures_title: String,
    /// How to read the pictures.
    pub pictures_note: String,
    /// Say, the worst mistakes.
    pub pictures: Vec<Picture>,
    /// Captions and charts as SVG.
    pub charts: Vec<(String, String)>,
    /// Captions and texts, as a generator's samples.
    pub texts: Vec<(String, String)>,
    /// All that defines the run.
    pub config: Value,
}

const STYLE: &str = "
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1c2330; background: #f5f6f8 }
body { max-width: 1360px; margin: 0 auto; padding: 24px }
h1 { margin: 0 0 4px; font-size: 26px } h2 { margin: 0 0 12px; font-size: 18px }
section { background: #fff; border: 1px solid #e1e4ea; border-radius: 10px; padding: 18px 20px; margin: 18px 0 }
.cards { display: flex; flex-wrap: wrap; gap: 10px 34px } .cards div span { display: block; color: #667; font-size: 12px }
.cards div { font-size: 17px; font-variant-numeric: tabular-nums }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 12px } .charts svg { width: 100%; height: auto }
table.confusion { border-collapse: collapse; font-variant-numeric: tabular-nums } .confusion td, .confusion th { padding: 5px 9px; text-align: right; min-width: 30px }
.confusion th { color: #667; font-weight: 500 } .confusion td.zero { color: #c3c8d2 }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 14px }
figure { margin: 0 } figure img { width: 48.5%; image-rendering: pixelated; border-radius: 4px } figure img + img { margin-left: 3% }
figure.wide { grid-column: 1 / -1 } figure.wide img { width: auto; max-width: 100% }
figcaption { font-size: 13px; color: #445 } pre { overflow: auto; font-size: 12px; background: #f5f6f8; padding: 12px; border-radius: 6px }
.note { color: #667; font-size: 13px; margin: 0 0 10px }";

impl Report {
    /// The page: self-contained, without scripts.
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style></head><body><h1>{0}</h1>",
            escape(&self.title)
        );
        page += "<section><div class=\"cards\">";
        for (name, value) in &self.summary {
            let _ = write!(page, "<div><span>{}</span>{}</div>", escape(name), escape(value));
        }
        page += "</div></section>";
        let charts: String = self.curves().concat();
        if !charts.is_empty() {
            let _ = write!(page, "<section><h2>Training</h2><div class=\"charts\">{charts}</div></section>");
        }
        if let Some(confusion) = &self.confusion {
            page += &self.confusion_table(confusion);
        }
        if !self.pictures.is_empty() {
            let _ = write!(
                page,
                "<section><h2>{}</h2><p class=\"note\">{}</p><div class=\"pictures\">",
                escape(&self.pictures_title),
                escape(&self.pictures_note)
            );
            for picture in &self.pictures {
                let images: String = picture.images.iter().map(img).collect();
                let wide = picture.images.iter().any(|image| image.width() > 2 * image.height());
                let class = if wide { " class=\"wide\"" } else { "" };
                let _ = write!(page, "<figure{class}>{images}<figcaption>{}</figcaption></figure>", escape(&picture.caption));
            }
            page += "</div></section>";
        }
        for (caption, chart) in self.charts.iter().filter(|(_, chart)| !chart.is_empty()) {
            let _ = write!(page, "<section><h2>{}</h2><div class=\"charts\">{chart}</div></section>", escape(caption));
        }
        for (caption, text) in &self.texts {
            let _ = write!(page, "<section><h2>{}</h2><pre>{}</pre></section>", escape(caption), escape(text));
        }
        let config = serde_json::to_string_pretty(&self.config).unwrap_or_default();
        let _ = write!(page, "<section><h2>Configuration</h2><pre>{}</pre></section></body></html>", escape(&config));
        page
    }

    fn curves(&self) -> Vec<String> {
        let series = |name: &str, path: &[&str]| {
            let get = |line: &Value| {
                let value = path.iter().fold(line, |v, key| &v[*key]).as_f64()?;
                Some((line["step"].as_f64()?, value))
            };
            Line { name: name.into(), points: self.metrics.iter().filter_map(get).collect() }
        };
        let known = |lines: Vec<Line>| lines.into_iter().filter(|line| !line.points.is_empty()).collect::<Vec<_>>();
        let mut charts = vec![lines(
            "step",
            "loss",
            &known(vec![
                series("training (a step)", &["loss"]),
                series("training (mean)", &["train", "loss"]),
                series("validation", &["valid", "loss"]),
            ]),
        )];
        let names = self.metrics.iter().filter_map(|line| line["valid"].as_object()).flat_map(|m| m.keys().cloned());
        let names: std::collections::BTreeSet<String> = names.filter(|name| name != "loss").collect();
        let others: Vec<_> = names.iter().map(|name| series(name, &["valid", name])).collect();
        charts.push(lines("step", "validation", &known(others)));
        charts.push(lines("step", "learning rate", &known(vec![series("learning rate", &["lr"])])));
        charts.push(lines("step", "gradient norm", &known(vec![series("gradient norm", &["grad_norm"])])));
        charts
    }

    fn confusion_table(&self, confusion: &Confusion) -> String {
        let n = confusion.classes();
        if n > 60 {
            return String::new();
        }
        let name = |c: usize| escape(self.classes.get(c).map_or("?", String::as_str));
        let most = (0..n).flat_map(|t| (0..n).filter(move |&p| p != t).map(move |p| (t, p))).map(|(t, p)| confusion.count(t, p)).max().unwrap_or(0);
        let mut html = String::from(
            "<section><h2>Confusion (validation)</h2><p class=\"note\">A row is a true class, a column a predicted one.</p><table class=\"confusion\"><tr><th></th>",
        );
        (0..n).for_each(|c| html += &format!("<th>{}</th>", name(c)));
        html += "</tr>";
        for t in 0..n {
            let _ = write!(html, "<tr><th>{}</th>", name(t));
            for p in 0..n {
                let count = confusion.count(t, p);
                let style = match (t == p, count) {
                    (_, 0) => " class=\"zero\"".to_string(),
                    (true, _) => " style=\"background:#e3f1e6\"".to_string(),
                    (false, _) => format!(" style=\"background:rgba(214,87,38,{:.2})\"", 0.12 + 0.6 * count as f64 / most.max(1) as f64),
                };
                let _ = write!(html, "<td{style}>{count}</td>");
            }
            html += "</tr>";
        }
        html + "</table></section>"
    }
}

/// An image as a data URL, small ones enlarged so that a browser does not blur them.
fn img(image: &RgbImage) -> String {
    let factor = (140 / image.width().max(1)).max(1);
    let large = image::imageops::resize(image, image.width() * factor, image.height() * factor, FilterType::Nearest);
    let mut png = Cursor::new(vec![]);
    match large.write_to(&mut png, ImageFormat::Png) {
        Ok(()) => format!("<img alt=\"\" src=\"data:image/png;base64,{}\">", base64::engine::general_purpose::STANDARD.encode(png.into_inner())),
        Err(_) => String::new(),
    }
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_holds_everything_and_nothing_from_outside() {
        let mut confusion = Confusion::new(2);
        confusion.add(0, 1);
        confusion.add(1, 1);
        let report = Report {
            title: "a <b> & c".into(),
            summary: vec![("seed".into(), "7".into())],
            metrics: vec![
                json!({"step": 10, "loss": 2.0, "lr": 0.1, "grad_norm": 1.0}),
                json!({"step": 20, "train": {"loss": 1.5}, "valid": {"loss": 1.0, "accuracy": 0.5}}),
            ],
            confusion: Some(confusion),
            classes: vec!["cat".into(), "dog".into()],
            pictures_title: "Worst".into(),
            pictures_note: "left, right".into(),
            charts: vec![("Chart 1".into(), "<svg>chart</svg>".into())],
            texts: vec![("Sample 1".into(), "a <b> c".into())],
            pictures: vec![
                Picture { caption: "cat → dog".into(), images: vec![RgbImage::new(4, 4)] },
                Picture { caption: "long".into(), images: vec![RgbImage::new(200, 20)] },
            ],
            config: json!({"seed": 7}),
        };
        let html = report.html();
        for part in [
            "a &lt;b&gt; &amp; c",
            "a &lt;b&gt; c",
            "<svg",
            "<svg>chart</svg>",
            "cat → dog",
            "left, right",
            "<figure><img",
            "<figure class=\"wide\"><img",
            "data:image/png;base64,",
            "Confusion",
            "accuracy",
            "&quot;seed&quot;: 7",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<script") && !html.contains("src=\"http") && !html.contains("href="));
    }
}

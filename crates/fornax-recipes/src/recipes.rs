//! The recipes: plain data, one file each, and one line here.

mod char_gpt;
mod char_lstm;
mod forecast;
mod g2p_lstm;
mod g2p_transformer;
mod japanese_vowels;
mod mnist_best;
mod mnist_cnn;
mod mnist_dp;
mod mnist_lenet5;
mod mnist_mlp;
mod sentence_cnn;
mod speech_ctc;
mod speech_digits;
mod speech_frames;
mod translate_de_en;

use crate::{
    config::Config,
    error::{did_you_mean, usage},
    ui,
};
use anyhow::Result;
use serde_json::json;

/// A line of the list.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What others publish for it.
    pub(crate) published: &'static str,
    /// What `README.md` reports, measured.
    pub(crate) measured: &'static str,
    pub(crate) config: fn() -> Config,
}

pub(crate) const RECIPES: &[Entry] = &[
    mnist_cnn::ENTRY,
    mnist_best::ENTRY,
    mnist_lenet5::ENTRY,
    mnist_mlp::ENTRY,
    mnist_dp::ENTRY,
    char_gpt::ENTRY,
    char_lstm::ENTRY,
    g2p_lstm::ENTRY,
    g2p_transformer::ENTRY,
    sentence_cnn::ENTRY,
    translate_de_en::ENTRY,
    japanese_vowels::ENTRY,
    speech_digits::ENTRY,
    speech_frames::ENTRY,
    speech_ctc::ENTRY,
    forecast::ENTRY,
];

/// A recipe by name.
pub(crate) fn find(name: &str) -> Result<&'static Entry> {
    RECIPES.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let near = did_you_mean(name, RECIPES.iter().map(|entry| entry.name));
        usage(format!("there is no recipe `{name}`{near}; `fornax recipes` lists them"))
    })
}

/// `fornax recipes`
pub(crate) fn list(as_json: bool) -> Result<u8> {
    if as_json {
        let all: Vec<_> = RECIPES
            .iter()
            .map(|e| json!({"name": e.name, "about": e.about, "published": e.published, "measured": e.measured, "config": (e.config)()}))
            .collect();
        ui::out(json!({"recipes": all}).to_string());
        return Ok(0);
    }
    for entry in RECIPES {
        ui::out(format!("{:<15} {}\n{:15} published: {}\n{:15} measured:  {}", entry.name, entry.about, "", entry.published, "", entry.measured));
    }
    ui::out("\nfornax train NAME starts one; fornax train NAME --show-config prints its fields.");
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_valid_and_survives_json() {
        for entry in RECIPES {
            let config = (entry.config)();
            config.validate().unwrap();
            assert_eq!(config.recipe, entry.name);
            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        }
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = find("mnist-cn").unwrap_err().to_string();
        assert!(error.contains("did you mean `mnist-cnn`?"), "{error}");
        assert!(find("nope").unwrap_err().to_string().contains("fornax recipes"));
    }
}

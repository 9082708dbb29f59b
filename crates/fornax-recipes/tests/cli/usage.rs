//! Bad usage ends in one clear line with the fix.

use crate::support::{bad, good, last_json, run};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn mistakes_are_named_with_their_fix() {
    let f = folder();
    let cases: &[(&[&str], &str)] = &[
        (&["train", "nope"], "`fornax recipes` lists them"),
        (&["train", "mnist-cn"], "did you mean `mnist-cnn`?"),
        (&["train", "mnist-cnn", "--set", "optimizer.lr=abc"], "optimizer.lr takes a number, not `abc`"),
        (&["train", "mnist-cnn", "--set", "optimzer.lr=1"], "did you mean `optimizer.lr`?"),
        (&["train", "mnist-cnn", "--set", "optimizer.lr=-1"], "optimizer.lr must be above 0, not -1"),
        (&["train", "mnist-cnn", "--set", "optimizer.name=adm"], "did you mean `adam`?"),
        (&["train", "mnist-cnn", "--set", "optimizer.beta1=1.0"], "optimizer.beta1 must be in [0, 1), not 1"),
        (&["train", "mnist-cnn", "--set", "optimizer.momentum=0.9"], "optimizer \"adamw\" has beta1, beta2, decay_matrices_only"),
        (&["train", "mnist-cnn", "--set", "optimizer.nesterov=true", "--set", "optimizer.name=sgd"], "optimizer.nesterov needs momentum above 0"),
        (
            &["train", "mnist-cnn", "--set", "optimizer.name=lbfgs", "--set", "optimizer.weight_decay=0.1"],
            "optimizer.weight_decay must be 0 with `lbfgs`",
        ),
        (
            &["train", "mnist-cnn", "--set", "optimizer.name=lbfgs", "--set", "groups.layer_decay=0.5"],
            "lbfgs takes all parameters as one vector: leave groups.*",
        ),
        (
            &["train", "mnist-cnn", "--set", "optimizer.name=lbfgs", "--set", "optimizer.line_search=strong-wolfe", "--set", "trainer.clip_norm=1.0"],
            "set trainer.clip_norm=0",
        ),
        (&["train", "mnist-cnn", "--set", "optimizer.name=lbfgs", "--set", "optimizer.line_search=wolfe"], "expected `fixed` or `strong-wolfe`"),
        (&["train", "mnist-cnn", "--set", "schedule.name=cosinus"], "did you mean `cosine`?"),
        (&["train", "mnist-cnn", "--set", "model.dropout=1.0"], "model.dropout must be in [0, 1)"),
        (&["train", "mnist-cnn", "--set", "model.dense=[0]"], "model.dense has a width of 0"),
        (
            &["train", "mnist-cnn", "--set", "model.stages=[{\"channels\":4,\"kernel\":40,\"stride\":1,\"padding\":0,\"pool\":1}]"],
            "model.stages stage 0 has only 28×28 pixels",
        ),
        (&["train", "mnist-cnn", "--set", "trainer.ema_decay=1.0"], "trainer.ema_decay must be in [0, 1)"),
        (&["train", "mnist-cnn", "--set", "trainer.batch_size=0"], "trainer.batch_size must be at least 1"),
        (&["train", "mnist-cnn", "--set", "data.augment.erase=2"], "`erase` must be from 0 to 1"),
        (&["train", "mnist-cnn", "--set", "data.name=mnits"], "did you mean `mnist`?"),
        (&["train", "mnist-cnn", "--backend", "tensorflow"], "choose one of flex, ndarray, tch, wgpu, cuda"),
        (&["train", "mnist-cnn", "--device", "cuda:7"], "backend `flex` has no device `cuda:7`"),
        (&["train", "mnist-cnn", "--time-limit", "soon"], "90s, 10m or 2h"),
        (&["train", "mnist-cnn", "--epochs", "-1"], "trainer.epochs must be above 0"),
        (&["train", "mnist-cnn", "--steps", "0"], "at least 1"),
        (&["data", "fetch", "mnits"], "did you mean `mnist`?"),
        (&["bench", "convnet-trian"], "did you mean `convnet-train`?"),
    ];
    for (args, part) in cases {
        let line = bad(f.path(), &[2], args);
        assert!(line.contains(part), "{args:?}: {line}");
    }
    assert_eq!(std::fs::read_dir(f.path()).unwrap().count(), 0, "bad usage wrote something");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_backend_that_is_not_compiled_in_names_its_flag() {
    let line = bad(folder().path(), &[1, 2], &["train", "mnist-cnn", "--backend", "cuda"]);
    assert!(line.contains("`--features cuda`"), "{line}");
}

#[test]
fn an_empty_data_folder_and_an_unwritable_out_are_named() {
    let f = folder();
    let empty = f.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let line = bad(f.path(), &[1], &["train", "mnist-cnn", "--data", "empty"]);
    assert!(line.contains("train-images-idx3-ubyte") && line.contains("empty"), "{line}");
    let line = bad(f.path(), &[1], &["train", "mnist-cnn", "--data", "absent"]);
    assert!(line.contains("absent"), "{line}");
    // A file where the folder should go: permissions do not bind the super-user.
    std::fs::write(f.path().join("taken"), "").unwrap();
    let line = bad(f.path(), &[1], &["train", "mnist-cnn", "--out", "taken/run"]);
    assert!(line.contains("taken/run"), "{line}");
    for args in [&["eval", "absent"][..], &["predict", "absent", "x.png"], &["inspect", "absent"], &["inspect", "taken"]] {
        bad(f.path(), &[1], args);
    }
}

#[test]
fn help_version_and_lists_work() {
    let f = folder();
    assert!(good(f.path(), &["--help"]).contains("train"));
    assert!(good(f.path(), &["--version"]).starts_with("fornax "));
    let recipes = good(f.path(), &["recipes"]);
    assert!(recipes.contains("mnist-cnn") && recipes.contains("mnist-best"));
    assert!(last_json(&good(f.path(), &["recipes", "--json"]))["recipes"].as_array().unwrap().len() >= 4);
    assert!(good(f.path(), &["data", "list"]).contains("fashion-mnist"));
    let config: serde_json::Value =
        serde_json::from_str(&good(f.path(), &["train", "mnist-cnn", "--show-config", "--set", "optimizer.lr=0.5"])).unwrap();
    assert_eq!(config["optimizer"]["lr"], 0.5);
    // A rule brings its own options and numbers, whatever the order.
    let set = ["train", "mnist-cnn", "--show-config", "--set", "optimizer.momentum=0.9", "--set", "optimizer.name=sgd"];
    let config: serde_json::Value = serde_json::from_str(&good(f.path(), &set)).unwrap();
    let want = serde_json::json!({"name": "sgd", "lr": 1e-3, "weight_decay": 0.0, "decay_matrices_only": true, "momentum": 0.9, "dampening": 0.0,
        "nesterov": false});
    assert_eq!(config["optimizer"], want);
    assert_eq!(run(f.path(), &[]).status.code(), Some(2));
    assert_eq!(run(f.path(), &["train"]).status.code(), Some(2));
}

//! `--set key.path=value` on a configuration as JSON: name and type are checked here, ranges by the configuration itself.

use crate::error::did_you_mean;
use serde_json::Value;

/// Every leaf of a configuration: `optimizer.lr`.
pub(crate) fn leaves(config: &Value) -> Vec<String> {
    fn walk(path: &str, value: &Value, into: &mut Vec<String>) {
        match value.as_object() {
            Some(map) => map.iter().for_each(|(key, value)| walk(&format!("{path}{}{key}", if path.is_empty() { "" } else { "." }), value, into)),
            None => into.push(path.to_string()),
        }
    }
    let mut all = vec![];
    walk("", config, &mut all);
    all
}

/// Applies one `key.path=value`.
///
/// # Errors
/// One line: what, and what to do.
pub(crate) fn set(config: &mut Value, text: &str) -> Result<(), String> {
    let Some((path, new)) = text.split_once('=') else {
        return Err(format!("--set {text}: write it as key.path=value, like --set optimizer.lr=3e-4"));
    };
    let (path, new) = (path.trim(), new.trim());
    let known = leaves(config);
    let pointer = format!("/{}", path.replace('.', "/"));
    if config.pointer(&pointer).is_none() {
        let near = did_you_mean(path, known.iter().map(String::as_str));
        let siblings = siblings(config, path);
        let hint = if near.is_empty() && siblings.is_empty() { "; `--show-config` lists the fields".to_string() } else { near };
        return Err(format!("there is no field `{path}`{siblings}{hint}"));
    }
    let Some(old) = config.pointer_mut(&pointer) else { unreachable!("it was there") };
    if old.is_object() {
        return Err(format!("`{path}` is a group; set one of its fields, like {}", known.iter().find(|k| k.starts_with(path)).map_or("", |k| k)));
    }
    *old = parse(old, new).map_err(|wants| format!("{path} takes {wants}, not `{new}`"))?;
    Ok(())
}

/// `; optimizer "adamw" has beta1, beta2, …`: what is there in the group that `path` names, if there is one.
fn siblings(config: &Value, path: &str) -> String {
    let Some((group, _)) = path.rsplit_once('.') else { return String::new() };
    let Some(fields) = config.pointer(&format!("/{}", group.replace('.', "/"))).and_then(Value::as_object) else { return String::new() };
    let name = fields.get("name").map_or(String::new(), |name| format!(" {name}"));
    format!("; {group}{name} has {}", fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
}

/// `new` as the same type as `old`, or what that type is called.
fn parse(old: &Value, new: &str) -> Result<Value, String> {
    match old {
        Value::Bool(_) => new.parse::<bool>().map(Value::from).map_err(|_| "true or false".into()),
        Value::Number(n) if n.is_u64() || n.is_i64() => new.parse::<u64>().map(Value::from).map_err(|_| "a whole number, 0 or above".into()),
        Value::Number(_) => match new.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::from(x)),
            _ => Err("a number".into()),
        },
        Value::Array(_) => match serde_json::from_str::<Value>(new) {
            Ok(value) if value.is_array() => Ok(value),
            _ => Err("a list in JSON, like [128, 64]".into()),
        },
        _ => Ok(Value::from(new)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config() -> Value {
        json!({"optimizer": {"lr": 0.001, "name": "adamw", "nesterov": false}, "trainer": {"batch_size": 64}, "model": {"dense": [128]}})
    }

    #[test]
    fn sets_each_type() {
        let mut c = config();
        for text in ["optimizer.lr=3e-4", "optimizer.name=sgd", "optimizer.nesterov=true", "trainer.batch_size=32", "model.dense=[10, 20]"] {
            set(&mut c, text).unwrap();
        }
        let want = json!({"optimizer": {"lr": 3e-4, "name": "sgd", "nesterov": true}, "trainer": {"batch_size": 32}, "model": {"dense": [10, 20]}});
        assert_eq!(c, want);
    }

    #[test]
    fn refuses_with_the_fix() {
        let cases = [
            ("optimizer.lr=abc", "takes a number, not `abc`"),
            ("optimizer.lr=NaN", "takes a number"),
            ("optimzer.lr=1", "did you mean `optimizer.lr`?"),
            ("optimizer.lrr=1", "did you mean `optimizer.lr`?"),
            ("optimizer.centered=true", "optimizer \"adamw\" has lr, name, nesterov"),
            ("zzzzzz=1", "--show-config"),
            ("optimizer=1", "is a group"),
            ("optimizer.lr", "key.path=value"),
            ("trainer.batch_size=-3", "a whole number"),
            ("trainer.batch_size=1.5", "a whole number"),
            ("optimizer.nesterov=yes", "true or false"),
            ("model.dense=5", "a list in JSON"),
        ];
        for (text, part) in cases {
            let error = set(&mut config(), text).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }
}

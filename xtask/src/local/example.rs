//! Something to try: a request as a command line.

use xtask_core::config::Example;
use xtask_core::plan::argv::Argv;

/// The command line that sends the request.
pub fn command(example: &Example) -> String {
    let argv = Argv::new("curl").args(["-sS", "-X", "POST", &example.url]);
    argv.flag("-H", "content-type: application/json").flag("-d", &example.json).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_quoted_for_a_shell() {
        let example = Example { url: "http://h/p".into(), json: r#"{"a": "b"}"#.into() };
        assert_eq!(
            command(&example),
            r#"curl -sS -X POST http://h/p -H 'content-type: application/json' -d '{"a": "b"}'"#
        );
    }
}

//! A test per way a spec can be wrong; what people read is the snapshot.

use super::*;

#[test]
fn other_urls_are_refused_without_their_password() {
    for url in [
        "mysql:/x",
        "db",
        "sqlserver://a:hunter2@db/x?encrypt=false",
        "mongodb+srv://a:hunter2@db/x",
        "postgres://a:hunter2@db/x?sslmode=disable",
        "mysql://a:hunter2@db/x?ssl=1",
        "mysql://a:hunter2%zz@db/x",
        "mysql://a:hunter2@db",
    ] {
        let error = connection(url).expect_err(url);
        assert!(
            !format!("{error:?} {error} {}", error.render(false)).contains("hunter2"),
            "{}",
            error.render(false)
        );
    }
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    insta::assert_snapshot!(refused_tables("tables:\n  - from: t\n    exlude: [a]\n"), @r"
    error[SYN-1003]: the spec is not valid
      × unknown key `exlude`
       ╭─[shop.yaml:7:5]
     6 │   - from: t
     7 │     exlude: [a]
       ·     ───┬──
       ·        ╰── here
       ╰────
      help: did you mean `exclude`? Known here: `from`, `to`, `except`, `key`, `mode`, `policy`,
            `exclude`, `on_lossy_type`, `guard`, `incremental`, `fields`
      next: correct it, then: syncline check shop.yaml
    ");
}

#[test]
fn a_key_of_a_later_version_is_told_from_a_wrong_one() {
    insta::assert_snapshot!(refused_tables("tables: [{ from: t, capture_user_edits: true }]\n"), @r#"
    error[SYN-1008]: the spec is not valid
      × `capture_user_edits` is not available in this version
       ╭─[shop.yaml:5:21]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: [{ from: t, capture_user_edits: true }]
       ·                     ─────────┬────────
       ·                              ╰── here
       ╰────
      help: remove the key
      next: correct it, then: syncline check shop.yaml
    "#);
    insta::assert_snapshot!(refused_tables("tables: [{ from: t, mode: stage-and-swap }]\n"), @r"
    error[SYN-1008]: the spec is not valid
      × mode `stage-and-swap` is not available in this version
       ╭─[shop.yaml:5:27]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: [{ from: t, mode: stage-and-swap }]
       ·                           ───────┬──────
       ·                                  ╰── here
       ╰────
      help: use `merge`, `mirror` or `insert-only`
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: t, capture_user_edits: true }}]\n")), @"shop.yaml:5:21: SYN-1008: `capture_user_edits` is not available in this version");
}

#[test]
fn a_missing_key_is_named() {
    insta::assert_snapshot!(refused("version: 1\nname: shop\nsource: sqlite:a.db\ntables: [{ from: t }]\n"), @r"
    error[SYN-1004]: the spec is not valid
      × key `target` is missing
       ╭─[shop.yaml:4:1]
     3 │ source: sqlite:a.db
     4 │ tables: [{ from: t }]
       · ───┬──
       ·    ╰── belongs here
       ╰────
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(lines(""), @"shop.yaml:1:1: SYN-1002: unexpected end of input");
}

#[test]
fn a_wrong_type_says_what_was_expected() {
    insta::assert_snapshot!(refused_tables("tables: customers\n"), @r"
    error[SYN-1005]: the spec is not valid
      × expected a list
       ╭─[shop.yaml:5:9]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: customers
       ·         ────┬────
       ·             ╰── here
       ╰────
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(lines("version: one\nname: x\n"), @"shop.yaml:1:10: SYN-1005: expected a whole number");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: t, key: id }}]\n")), @"shop.yaml:5:26: SYN-1005: expected a list");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: t, policy: [a] }}]\n")), @"shop.yaml:5:21: SYN-1005: expected source-wins, keep-target or { newest: column }");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: }}]\n")), @"shop.yaml:5:16: SYN-1005: expected text");
    insta::assert_snapshot!(connection("[a]").expect_err("a list"), @"shop.yaml:3:1: SYN-1005: expected a mapping such as { engine: sqlite, path: shop.db }, or a URL");
    insta::assert_snapshot!(connection("true").expect_err("a truth"), @"shop.yaml:3:1: SYN-1005: expected a mapping such as { engine: sqlite, path: shop.db }, or a URL");
}

#[test]
fn text_that_is_no_yaml_is_shown_where_it_breaks() {
    insta::assert_snapshot!(refused("version: 1\nname: [shop\nsource: x\n"), @r"
    error[SYN-1005]: the spec is not valid
      × expected text
       ╭─[shop.yaml:2:7]
     1 │ version: 1
     2 │ name: [shop
       ·       ┬
       ·       ╰── here
     3 │ source: x
       ╰────
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(lines("version: 1\nversion: 1\n"), @"shop.yaml:2:1: SYN-1006: key `version` stands twice");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: t }}]\n---\nversion: 1\n")), @"shop.yaml:7:1: SYN-1002: more than one document");
    insta::assert_snapshot!(refused("source: { engine: mysql, password: ${env:PW} }\n"), @r"
    error[SYN-1002]: the spec is not valid
      × while parsing a flow mapping, did not find expected ',' or '}'
       ╭─[shop.yaml:1:1]
     1 │ source: { engine: mysql, password: ********} }
       · ┬
       · ╰── here
       ╰────
      help: check indentation, colons and quotes; a `${…}` inside { } must be quoted
      next: correct it, then: syncline check shop.yaml
    ");
}

#[test]
fn a_wrong_version_is_refused() {
    insta::assert_snapshot!(refused(&format!("{}tables: [{{ from: t }}]\n", HEAD.replace("version: 1", "version: 2"))), @r"
    error[SYN-1007]: the spec is not valid
      × unknown version 2
       ╭─[shop.yaml:1:10]
     1 │ version: 2
       ·          ┬
       ·          ╰── here
     2 │ name: shop
       ╰────
      help: this program reads `version: 1`
      next: correct it, then: syncline check shop.yaml
    ");
}

#[test]
fn empty_tables_are_refused() {
    insta::assert_snapshot!(refused_tables("tables: []\n"), @r#"
    error[SYN-1020]: the spec is not valid
      × no tables
       ╭─[shop.yaml:5:9]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: []
       ·         ┬
       ·         ╰── here
       ╰────
      help: name them, or write `- from: "*"` for all
      next: correct it, then: syncline check shop.yaml
    "#);
}

#[test]
fn a_pattern_cannot_be_renamed() {
    insta::assert_snapshot!(refused_tables("tables:\n  - from: \"log_*\"\n    to: logs\n"), @r#"
    error[SYN-1022]: the spec is not valid
      × `to` beside a pattern
       ╭─[shop.yaml:7:9]
     6 │   - from: "log_*"
     7 │     to: logs
       ·         ──┬─
       ·           ╰── here
       ╰────
      help: remove `to`, or give the table that is renamed an entry of its own
      next: correct it, then: syncline check shop.yaml
    "#);
}

#[test]
fn an_unknown_engine_mode_or_policy_gets_a_suggestion() {
    insta::assert_snapshot!(connection("{ engine: sqllite, path: a }").expect_err("unknown").render(false), @r"
     × unknown engine `sqllite`
      ╭─[shop.yaml:3:19]
    2 │ name: shop
    3 │ source: { engine: sqllite, path: a }
      ·                   ───┬───
      ·                      ╰── here
    4 │ target: sqlite:b.db
      ╰────
     help: did you mean `sqlite`? Known here: `sqlite`, `mysql`, `postgres`, `mongodb`, `sqlserver`
    ");
    insta::assert_snapshot!(refused_tables("tables: [{ from: t, mode: mirorr }]\n"), @r"
    error[SYN-1026]: the spec is not valid
      × unknown mode `mirorr`
       ╭─[shop.yaml:5:27]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: [{ from: t, mode: mirorr }]
       ·                           ───┬──
       ·                              ╰── here
       ╰────
      help: did you mean `mirror`? Known here: `merge`, `mirror`, `insert-only`
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(refused_tables("tables: [{ from: t, policy: sources-win }]\n"), @r"
    error[SYN-1027]: the spec is not valid
      × unknown policy `sources-win`
       ╭─[shop.yaml:5:29]
     4 │ target: { engine: sqlite, path: b.db }
     5 │ tables: [{ from: t, policy: sources-win }]
       ·                             ─────┬─────
       ·                                  ╰── here
       ╰────
      help: did you mean `source-wins`? Known here: `source-wins`, `keep-target`
      next: correct it, then: syncline check shop.yaml
    ");
    insta::assert_snapshot!(lines(&format!("{HEAD}tables: [{{ from: t, policy: newest }}]\n")), @"shop.yaml:5:29: SYN-1027: policy `newest` needs a column");
}

#[test]
fn an_incomplete_connection_is_refused() {
    insta::assert_snapshot!(connection("{ engine: sqlite }").expect_err("no path").render(false), @r"
     × source: sqlite needs `path`
      ╭─[shop.yaml:3:19]
    2 │ name: shop
    3 │ source: { engine: sqlite }
      ·                   ───┬──
      ·                      ╰── here
    4 │ target: sqlite:b.db
      ╰────
     help: add `path: ./shop.db`
    ");
    insta::assert_snapshot!(connection("{ engine: mysql, host: db1 }").expect_err("no database"), @"shop.yaml:3:19: SYN-1011: source: mysql needs `database`");
    insta::assert_snapshot!(connection("{ engine: sqlite, path: a, host: db1 }").expect_err("a host"), @"shop.yaml:3:42: SYN-1012: sqlite has no `host`");
    insta::assert_snapshot!(connection("{ engine: mysql, database: d, port: 70000 }").expect_err("a port"), @"shop.yaml:3:45: SYN-1014: not a port");
}

#[test]
fn a_reference_that_leads_nowhere_is_refused() {
    insta::assert_snapshot!(connection("{ engine: mysql, database: d, password: \"${vault:x}\" }").expect_err("form").render(false), @r#"
     × not `${env:NAME}`, `${env:NAME:-default}`, `${file:/path}` or `${password-of:NAME}`
      ╭─[shop.yaml:3:49]
    2 │ name: shop
    3 │ source: { engine: mysql, database: d, password: "${vault:x}" }
      ·                                                 ──────┬─────
      ·                                                       ╰── here
    4 │ target: sqlite:b.db
      ╰────
     help: write the reference in one of these forms
    "#);
    insta::assert_snapshot!(connection("{ engine: mysql, database: \"${env:NONE}\" }").expect_err("missing"), @"shop.yaml:3:36: SYN-1041: variable NONE is not set");
}

#[test]
fn an_inline_password_is_not_quoted_by_a_message_about_its_line() {
    insta::assert_snapshot!(
        connection("{ engine: mysql, database: d, password: hunter2, tls: maybe }").expect_err("tls").render(false), @r"
     × unknown choice `maybe`
      ╭─[shop.yaml:3:63]
    2 │ name: shop
    3 │ source: { engine: mysql, database: d, password: *******, tls: maybe }
      ·                                                               ──┬──
      ·                                                                 ╰── here
    4 │ target: sqlite:b.db
      ╰────
     help: known here: `verify`, `insecure`, `off`
    "
    );
}

#[test]
fn every_semantic_problem_is_reported_at_once() {
    insta::assert_snapshot!(lines(
        "version: 3
name: My Shop
source: { engine: sqlite }
target: { engine: mysql, host: db, database: d, tls: insecure }
defaults: { on_bad_row: skip, verify: none, chunk: { rows_max: 0, target_size: 16, target_time: 2 weeks }, guard: { max_delete: 110% } }
tables:
  - from: a
    to: c
  - from: b
    to: c
    mode: mirror
    policy: source-wins
    guard: { max_delete: [] }
  - from: \"\"
    except: [x]
  - from: d
    key: []
    exclude: [x, x]
  - from: e
    policy: { newest: at }
    exclude: [at]
  - from: \"x_*\"
  - from: \"*_y\"
"
    ), @r"
    shop.yaml:1:10: SYN-1007: unknown version 3
    shop.yaml:2:7: SYN-1009: not a name for a spec
    shop.yaml:3:19: SYN-1011: source: sqlite needs `path`
    shop.yaml:4:54: SYN-1015: `tls: insecure` must be confirmed
    shop.yaml:5:25: SYN-1033: unknown choice `skip`
    shop.yaml:5:39: SYN-1033: unknown choice `none`
    shop.yaml:5:64: SYN-1032: rows_max is out of range
    shop.yaml:5:80: SYN-1030: not a size
    shop.yaml:5:97: SYN-1031: not a duration
    shop.yaml:5:129: SYN-1032: not a percentage from 0% to 100%
    shop.yaml:10:9: SYN-1024: an earlier entry has the same target
    shop.yaml:12:13: SYN-1028: mode mirror takes no policy
    shop.yaml:13:26: SYN-1032: `max_delete` names no limit
    shop.yaml:14:11: SYN-1021: not a table name
    shop.yaml:15:13: SYN-1023: `except` beside a single table
    shop.yaml:17:10: SYN-1029: `key` is empty
    shop.yaml:18:18: SYN-1029: column named twice
    shop.yaml:21:15: SYN-1029: column `at` is needed and cannot be excluded
    ");
}

#[test]
fn two_entries_must_not_share_a_target() {
    insta::assert_snapshot!(refused_tables("tables:\n  - from: a\n    to: c\n  - from: C\n"), @r"
    error[SYN-1024]: the spec is not valid
      × an earlier entry has the same target
       ╭─[shop.yaml:8:11]
     7 │     to: c
     8 │   - from: C
       ·           ┬
       ·           ╰── here
       ╰────
      help: remove one, or give it another `to`
      next: correct it, then: syncline check shop.yaml
    ");
    // Names differ by case on a server that tells them apart.
    let head = HEAD.replace("{ engine: sqlite, path: b.db }", "mysql://127.0.0.1/shop");
    assert_eq!(load(&format!("{head}tables: [{{ from: a, to: c }}, {{ from: C }}]\n")).spec.tables.len(), 2);
}

#[test]
fn patterns_must_not_overlap_unless_one_gives_way() {
    insta::assert_snapshot!(refused_tables("tables:\n  - from: \"log_*\"\n  - from: \"*_old\"\n"), @r#"
    error[SYN-1025]: the spec is not valid
      × `log_*` and `*_old` may mean the same table
       ╭─[shop.yaml:7:11]
     6 │   - from: "log_*"
     7 │   - from: "*_old"
       ·           ───┬───
       ·              ╰── here
       ╰────
      help: add `except: ["log_*"]` here, or the reverse there
      next: correct it, then: syncline check shop.yaml
    "#);
    for tables in [
        r#"[{ from: "log_*", except: ["*_old"] }, { from: "*_old" }]"#,
        r#"[{ from: "a*" }, { from: "b*" }, { from: "*" }]"#,
    ] {
        load(&format!("{HEAD}tables: {tables}\n"));
    }
}

#[test]
fn a_pattern_of_stars_is_refused_before_it_is_tried() {
    let stars = "*".repeat(50_000);
    let text = format!("{HEAD}tables: [{{ from: \"{stars}\" }}, {{ from: \"a{stars}\" }}]\n");
    assert!(lines(&text).contains("SYN-1021"));
}

#[test]
fn a_table_is_not_copied_onto_itself() {
    let text = format!(
        "{}tables: [{{ from: a }}, {{ from: b, to: c }}, {{ from: \"x*\" }}]\n",
        HEAD.replace("b.db", "a.db")
    );
    insta::assert_snapshot!(lines(&text), @r"
    shop.yaml:5:18: SYN-1016: source and target are the same table
    shop.yaml:5:51: SYN-1016: source and target are the same table
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = load_spec(&PathBuf::from("/nonexistent/shop.yaml")).expect_err("missing");
    insta::assert_snapshot!(crate::Problem::from(&error), @r"
    error[SYN-1001]: the spec cannot be read: /nonexistent/shop.yaml: No such file or directory (os error 2)
      next: ls -l /nonexistent/shop.yaml
    ");
}

#[test]
fn a_schedule_that_never_comes_or_is_none_is_refused() {
    let told = |schedule: &str| lines(&format!("{HEAD}tables: [{{ from: t }}]\nschedule: {schedule}\n"));
    insta::assert_snapshot!(told("0s"), @"shop.yaml:6:11: SYN-1034: not an interval");
    insta::assert_snapshot!(told("{ every: 5m, cron: \"0 1 * * *\" }"), @"shop.yaml:6:11: SYN-1034: a schedule is one of `every`, `cron` and `after`");
    insta::assert_snapshot!(told("{ after: shop }"), @"shop.yaml:6:20: SYN-1034: not a pipeline to run after");
    insta::assert_snapshot!(told("{ after: a, run: repair }"), @"shop.yaml:6:28: SYN-1033: unknown choice `repair`");
    insta::assert_snapshot!(told("{ after: a, missed: skip }"), @"shop.yaml:6:31: SYN-1034: `if_running` and `missed` are for times: what runs after another comes as soon as it can");
    insta::assert_snapshot!(told("{ cron: \"61 * * * *\" }"), @"shop.yaml:6:19: SYN-1034: not a cron expression: five fields, such as `0 1 * * *`");
    insta::assert_snapshot!(told("{ cron: \"0 0 30 2 *\" }"), @"shop.yaml:6:19: SYN-1034: the expression names a time that never comes");
    insta::assert_snapshot!(told("{ cron: \"0 1 * * *\", timezone: Europe/Atlantis }"), @"shop.yaml:6:42: SYN-1034: not a time zone: a name such as `Europe/Berlin` or `UTC`");
    insta::assert_snapshot!(told("{ every: 5m, timezone: UTC }"), @"shop.yaml:6:34: SYN-1034: `timezone` stands beside `cron` only");
}

#[test]
fn an_incremental_table_names_a_column_and_what_it_means() {
    let told = |incremental: &str| {
        lines(&format!("{HEAD}tables: [{{ from: t, exclude: [x], incremental: {incremental} }}]\n"))
    };
    insta::assert_snapshot!(told("\"\""), @"shop.yaml:5:48: SYN-1029: `incremental` names no column");
    insta::assert_snapshot!(told("x"), @"shop.yaml:5:48: SYN-1029: `x` tells changes and is excluded");
    insta::assert_snapshot!(told("{ column: c, overlap: long }"), @"shop.yaml:5:70: SYN-1031: not a duration");
    insta::assert_snapshot!(told("{ column: c, zone: +25:00 }"), @"shop.yaml:5:67: SYN-1032: not a zone");
    insta::assert_snapshot!(told("{ column: c, late_commits: maybe }"), @"shop.yaml:5:75: SYN-1033: unknown choice `maybe`");
    insta::assert_snapshot!(told("{ column: c, late_commits: trusted, overlap: 5s }"), @"shop.yaml:5:93: SYN-1032: an overlap that must cover late commits is at least 60s");
    insta::assert_snapshot!(told("{ column: c, sweep_every: 1h }"), @"shop.yaml:5:74: SYN-1033: `sweep_every` is for mode mirror: no other deletes rows");
}

//! `syncline token`: who may use the HTTP API.

use api::make_token;
use ledger::{Role, Token};
use serde_json::json;
use service::Problem;
use service::config::parse_millis;
use service::problem::code;

use super::context::{Context, ledger_problem};
use super::grid::{Column, Grid};
use super::screen::Ink;
use super::{DONE, Outcome};
use model::human::{ago, millis};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token and print it, this once: only its hash is kept
    Create {
        /// viewer: look; operator: also start, pause, cancel, retry, drain, change limits; admin: all
        #[arg(long, value_name = "ROLE")]
        role: Role,
        /// What it is for
        #[arg(long, default_value = "")]
        name: String,
        /// How long it is good: 12h, 2160h; for ever if absent
        #[arg(long, value_name = "TIME", value_parser = lasting)]
        expires: Option<i64>,
    },
    /// List tokens
    List,
    /// End a token at once
    Revoke {
        /// Its id, as `syncline token list` shows it
        id: String,
    },
}

fn lasting(text: &str) -> Result<i64, String> {
    let lasts = parse_millis(text).and_then(|ms| i64::try_from(ms).ok()).filter(|ms| *ms > 0);
    lasts.ok_or_else(|| "a time is a number with s, m or h".to_owned())
}

pub(super) async fn run(context: &Context, args: &Args) -> Outcome {
    let screen = &context.screen;
    match &args.command {
        Command::Create { role, name, expires } => {
            let ledger = context.ledger().await?;
            let (text, new) = make_token(name, *role, *expires)
                .map_err(|error| Problem::new(code::INTERNAL, error.to_string(), "check /dev/urandom"))?;
            context.audit(&ledger, &format!("token create --role {role}"), &new.id).await?;
            ledger.create_token(&new).await.map_err(|e| ledger_problem(&e))?;
            if screen.json {
                screen.event("token-created", &json!({ "id": new.id, "role": role, "token": text }));
            } else {
                screen.print(&text);
                screen.say("kept as a hash only: it cannot be shown again");
            }
        }
        Command::List => {
            let ledger = context.existing_ledger().await?;
            let tokens = ledger.tokens().await.map_err(|e| ledger_problem(&e))?;
            let now = ledger.now_ms().await.map_err(|e| ledger_problem(&e))?;
            list(context, &tokens, now);
        }
        Command::Revoke { id } => {
            let ledger = context.existing_ledger().await?;
            context.audit(&ledger, "token revoke", id).await?;
            if !ledger.revoke_token(id).await.map_err(|e| ledger_problem(&e))? {
                let detail = format!("no token `{id}` that is good");
                return Err(Problem::new(code::BAD_SETTING, detail, "syncline token list"));
            }
            if screen.json {
                screen.event("token-revoked", &json!({ "id": id }));
            } else {
                screen.print(format!("{id} is revoked"));
            }
        }
    }
    Ok(DONE)
}

fn list(context: &Context, tokens: &[Token], now_ms: i64) {
    let screen = &context.screen;
    let mut grid = Grid::new(&[
        Column::text("token"),
        Column::text("name"),
        Column::text("role"),
        Column::number("made"),
        Column::number("used"),
        Column::number("expires"),
        Column::text("state"),
    ]);
    for token in tokens {
        let state = token.state();
        let ink = match (token.is_good, token.revoked_ms) {
            (true, _) => Ink::Good,
            (false, Some(_)) => Ink::Faint,
            (false, None) => Ink::Warn,
        };
        if screen.json {
            screen.event("token", &json!({
                "id": token.id, "name": token.name, "role": token.role, "state": state, "created_ms": token.created_ms,
                "used_ms": token.used_ms, "expires_ms": token.expires_ms, "revoked_ms": token.revoked_ms,
            }));
            continue;
        }
        let expires = match token.expires_ms {
            None => "never".to_owned(),
            Some(at) if at > now_ms => format!("in {}", millis(at - now_ms)),
            Some(at) => ago(now_ms - at),
        };
        grid.inked_row([
            (token.id.clone(), None),
            (token.name.clone(), None),
            (token.role.to_string(), None),
            (ago(now_ms - token.created_ms), None),
            (token.used_ms.map_or_else(|| "–".to_owned(), |at| ago(now_ms - at)), None),
            (expires, None),
            (state.to_owned(), Some(ink)),
        ]);
    }
    match (screen.json, tokens.is_empty()) {
        (true, _) => {}
        (false, true) => screen.say("no tokens: the API answers this machine only"),
        (false, false) => grid.print(screen),
    }
}

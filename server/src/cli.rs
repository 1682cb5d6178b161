//! The command line: which role, what it prints about itself, and what a process ends with.
//!
//! 0: done. 1: it ran and failed. 2: the command line or a configuration file is wrong. Every failure is one line on
//! standard error.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use crate::config::flags::{self, Flag, Given, Kind};
use crate::logging::{self, LogOptions};

/// Why a program ends before it is done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or a configuration file is wrong.
    Usage(String),
    /// It ran, and found something wrong or could not go on.
    Run(String),
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Run(_) => ExitCode::from(1),
        }
    }
}

/// A command: its name, what it is, its flags, what it does.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Arguments as the help text shows them.
    pub(crate) arguments: &'static str,
    pub(crate) table: fn() -> Vec<Flag>,
    pub(crate) run: fn(Given) -> Result<(), Failure>,
}

/// Finds the command that `args` ask for and runs it. A command's name has one or several words.
pub(crate) fn run(
    program: &str,
    commands: &[Command],
    default: &str,
    args: impl Iterator<Item = OsString>,
) -> ExitCode {
    let args =
        args.skip(1).map(|arg| arg.into_string().map_err(|arg| format!("argument {arg:?} is not UTF-8")));
    let args = match args.collect::<Result<Vec<_>, _>>().and_then(flags::expand_files) {
        Ok(args) => args,
        Err(fault) => return end(program, &Failure::Usage(fault)),
    };
    let has =
        |names: &[&str]| args.iter().take_while(|arg| *arg != "--").any(|arg| names.contains(&arg.as_str()));
    if has(&["--version"]) {
        say(&format!("{program} {} ({})\n", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH));
        return ExitCode::SUCCESS;
    }
    let wants_help = has(&["--help", "-h", "--help-long"]) || args.first().is_some_and(|arg| arg == "help");
    let Some((command, rest)) = find(commands, default, &args) else {
        if wants_help {
            say(&overview(program, commands));
            return ExitCode::SUCCESS;
        }
        let words =
            args.iter().filter(|arg| !arg.starts_with('-')).take(2).cloned().collect::<Vec<_>>().join(" ");
        let known = commands.iter().map(|command| command.name).collect::<Vec<_>>().join(", ");
        return end(program, &Failure::Usage(format!("unknown command '{words}'; there are: {known}")));
    };
    if wants_help {
        if commands.len() > 1 && !args.iter().any(|arg| command.name.starts_with(arg.as_str())) {
            say(&overview(program, commands));
        }
        say(&help(program, commands, command));
        return ExitCode::SUCCESS;
    }
    let outcome = Given::read((command.table)(), &rest).map_err(Failure::Usage).and_then(|given| {
        logging::start(LogOptions::of(&given));
        for (flag, why) in given.without_effect() {
            tracing::info!(flag = %format!("--{flag}"), reason = why, "flag has no effect here");
        }
        (command.run)(given)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&title(program, commands, command), &failure),
    }
}

/// The command whose words lead the arguments that are no flags, and the arguments without those words. Flags may stand
/// before the command's words. Without words, the default command.
fn find<'a>(commands: &'a [Command], default: &str, args: &[String]) -> Option<(&'a Command, Vec<String>)> {
    let takes_value: Vec<String> = commands
        .iter()
        .flat_map(|command| (command.table)())
        .filter(|flag| flag.kind != Kind::Bool)
        .map(|flag| format!("--{}", flag.name))
        .collect();
    let mut words: Vec<(usize, &str)> = Vec::new();
    let mut value_follows = false;
    for (at, arg) in args.iter().enumerate().take_while(|(_, arg)| *arg != "--") {
        if !arg.starts_with('-') && !value_follows {
            words.push((at, arg));
        }
        value_follows = takes_value.contains(arg);
    }
    let leads = |name: &str| {
        let wanted: Vec<&str> = name.split(' ').collect();
        words.len() >= wanted.len() && words.iter().zip(&wanted).all(|((_, have), want)| have == want)
    };
    if let Some(command) = commands.iter().find(|command| leads(command.name)) {
        let taken: Vec<usize> =
            words.iter().take(command.name.split(' ').count()).map(|(at, _)| *at).collect();
        let rest = args.iter().enumerate().filter(|(at, _)| !taken.contains(at)).map(|(_, arg)| arg.clone());
        return Some((command, rest.collect()));
    }
    let command = commands.iter().find(|command| command.name == default)?;
    words.is_empty().then(|| (command, args.to_vec()))
}

fn title(program: &str, commands: &[Command], command: &Command) -> String {
    if commands.len() > 1 { format!("{program} {}", command.name) } else { program.to_owned() }
}

fn overview(program: &str, commands: &[Command]) -> String {
    let mut text = format!("usage: {program} <command> [<flags>] [<args> ...]\n\nCommands:\n");
    for command in commands {
        text.push_str(&format!("  {} {}\n      {}\n", command.name, command.arguments, command.about));
    }
    text.push('\n');
    text
}

fn help(program: &str, commands: &[Command], command: &Command) -> String {
    let title = title(program, commands, command);
    let gap = if command.arguments.is_empty() { "" } else { " " };
    format!(
        "usage: {title} [<flags>]{gap}{}\n\n{}\n\n{}",
        command.arguments,
        command.about,
        flags::help(&(command.table)())
    )
}

fn end(who: &str, failure: &Failure) -> ExitCode {
    let (Failure::Usage(text) | Failure::Run(text)) = failure;
    let line: Vec<&str> = text.split_whitespace().collect();
    let _ = writeln!(std::io::stderr(), "{who}: error: {}", line.join(" "));
    failure.code()
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<Command> {
        let table = || vec![Flag::new("data-dir", Kind::Text, "", ""), Flag::switch("x", "")];
        let command = |name| Command { name, about: "", arguments: "", table, run: |_| Ok(()) };
        vec![command("standalone"), command("receive"), command("tools block dump")]
    }

    fn found(args: &[&str]) -> Option<(&'static str, Vec<String>)> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        find(&commands(), "standalone", &args).map(|(command, rest)| (command.name, rest))
    }

    #[test]
    fn commands_are_found() {
        assert_eq!(found(&[]).unwrap().0, "standalone");
        assert_eq!(found(&["--x=1"]).unwrap(), ("standalone", vec!["--x=1".to_owned()]));
        assert_eq!(found(&["--data-dir", "d"]).unwrap().0, "standalone");
        assert_eq!(found(&["--log.level=debug", "receive", "--y"]).unwrap().1, ["--log.level=debug", "--y"]);
        assert_eq!(
            found(&["tools", "block", "dump", "receive"]).unwrap(),
            ("tools block dump", vec!["receive".to_owned()])
        );
        assert_eq!(
            found(&["--data-dir", "d", "receive"]).unwrap(),
            ("receive", vec!["--data-dir".to_owned(), "d".to_owned()])
        );
        assert_eq!(found(&["--x", "receive"]).unwrap().0, "receive");
        assert!(found(&["--data-dir", "d", "nonsense"]).is_none());
        assert!(found(&["nonsense"]).is_none());
        assert!(found(&["tools", "block"]).is_none());
    }
}

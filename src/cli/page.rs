//! Which page of the help belongs to a command line, and what is said about arguments that make no sense.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use super::elsewhere;
use super::exit::Exit;
use super::output::{Output, printable};

/// The command that was given, like `snap key add`.
pub(crate) fn of_matches(matches: &ArgMatches) -> String {
    let mut page = String::from("snap");
    let mut next = matches.subcommand();
    while let Some((name, matches)) = next {
        page = format!("{page} {name}");
        next = matches.subcommand();
    }
    page
}

/// The command that was meant, as far as arguments that could not be parsed say.
pub(crate) fn of_arguments(command: &Command, arguments: &[OsString]) -> String {
    let (mut page, mut command) = (String::from("snap"), command);
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            break;
        }
        if text.starts_with('-') {
            // The value of a flag is no command, even if it is called like one.
            if takes_value(command, &text) {
                arguments.next();
            }
            continue;
        }
        let Some(found) = command.find_subcommand(&*text) else { break };
        page = format!("{page} {}", found.get_name());
        command = found;
    }
    page
}

/// Whether a flag takes the next argument for its value.
fn takes_value(command: &Command, flag: &str) -> bool {
    let is_meant = |argument: &&clap::Arg| match flag.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => flag.len() == 2 && argument.get_short() == flag.chars().nth(1),
    };
    command.get_arguments().find(is_meant).is_some_and(|argument| argument.get_action().takes_values())
}

/// Says what is wrong with arguments that clap does not take, or prints the help that was asked for.
pub(crate) fn refuse(mut error: clap::Error, mut command: Command, arguments: &[OsString]) -> Exit {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // That it cannot be written is no reason to fail.
        drop(error.print());
        return Exit::Done;
    }
    let page = of_arguments(&command, arguments);
    // clap puts a flag that is spelled alike into the usage line, as if it were required.
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(usage) = usage(&mut command, &page)
    {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    let json = arguments.iter().any(|argument| argument == "--json");
    let output = Output::new(json, true, false);
    let hint = format!("see `{page} --help`");
    if let Some((name, answer)) = unknown(&error) {
        output.error("usage", &format!("there is no command {name:?}: {answer}"), Some(&hint));
        return Exit::Usage;
    }
    match json {
        true => {
            // The first paragraph says what is wrong, the others how it is done.
            let text = error.render().to_string();
            let said: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let message = said.join(" ").trim_start_matches("error: ").to_owned();
            output.error("usage", &message, Some(&hint));
        }
        false => {
            let text = error.render().to_string().replace("try '--help'", &format!("try '{page} --help'"));
            let lines: Vec<_> = text.lines().map(printable).collect();
            output.to_stderr(lines.join("\n").trim_end());
        }
    }
    Exit::Usage
}

/// The usage line of a page.
fn usage(command: &mut Command, page: &str) -> Option<StyledStr> {
    command.build();
    let found = page.split(' ').skip(1).try_fold(command, |command, name| command.find_subcommand_mut(name))?;
    Some(found.render_usage())
}

/// A command that another tool has, and what does its job here.
fn unknown(error: &clap::Error) -> Option<(&str, &'static str)> {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Some((name, elsewhere::answer(name)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_page_is_that_of_the_command_that_was_meant() {
        let command = Cli::command();
        for (arguments, expected) in [
            ("snap", "snap"),
            ("snap nonsense", "snap"),
            ("snap forget --nonsense", "snap forget"),
            ("snap --json -r create ls --nonsense", "snap ls"),
            ("snap key --json add x y", "snap key add"),
            ("snap backup --stdin x", "snap create"),
            ("snap -- forget", "snap"),
        ] {
            let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            assert_eq!(of_arguments(&command, &arguments), expected, "{arguments:?}");
        }
    }
}

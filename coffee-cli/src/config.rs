//! `--config`: a file that says what neither the command line nor the environment does.
//!
//! It becomes the defaults of the command's flags, so these check its values too, and precedence is clap's: flag, environment,
//! file, default. One file does for all nodes of a cluster: what is a flag of another server command only is left to that one.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use toml::{Spanned, Value};

use crate::failure::{Failure, one_line};

/// The flag that names the file. Commands that have it can be configured.
const CONFIG: &str = "config";

/// Why there is nothing to be done yet.
#[derive(Debug)]
pub enum Unparsed {
    /// For clap to say: help, or what is wrong with the command line.
    Usage(clap::Error),
    /// The file is wrong.
    File(Failure),
}

impl From<clap::Error> for Unparsed {
    fn from(error: clap::Error) -> Self {
        Unparsed::Usage(error)
    }
}

/// What is asked for, by the command line, the environment and the file that these name.
pub fn matches(root: &Command, arguments: &[OsString]) -> Result<ArgMatches, Unparsed> {
    // First without the file, which may give what is required: what is wrong by then is not the file's fault.
    let optional = root.clone().mut_subcommands(|command| command.mut_args(|flag| flag.required(false)));
    let alone = optional.try_get_matches_from(arguments)?;
    let path = |matches: &ArgMatches| matches.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned();
    match alone.subcommand().and_then(|(command, matches)| Some((command, path(matches)?))) {
        Some((command, path)) => {
            let file = ConfigFile::read(&path, root).map_err(Unparsed::File)?;
            file.defaults_of(root.clone(), command).try_get_matches_from(arguments).map_err(|error| file.blamed(error))
        }
        None => Ok(root.clone().try_get_matches_from(arguments)?),
    }
}

/// A file's settings, each by the name of a flag.
struct ConfigFile {
    path: PathBuf,
    settings: BTreeMap<String, Setting>,
}

struct Setting {
    line: usize,
    value: String,
}

impl ConfigFile {
    fn read(path: &Path, root: &Command) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::usage(path.display().to_string(), format!("can't be read: {error}"))
                .advise("--config names a file of the flags' values, as TOML")
        })?;
        ConfigFile::parse(path, &text, root)
    }

    /// Errors name keys and lines and no values: one of them is a secret.
    fn parse(path: &Path, text: &str, root: &Command) -> Result<Self, Failure> {
        let line = |at: usize| 1 + text.get(..at).unwrap_or_default().matches('\n').count();
        let wrong = |line, what: String| Failure::usage(place(path, line), what);
        let pairs: BTreeMap<String, Spanned<Value>> = toml::from_str(text).map_err(|error| {
            wrong(line(error.span().map_or(0, |span| span.start)), format!("no TOML: {}", error.message()))
        })?;
        let known = keys(root);
        let setting = |(key, value): (String, Spanned<Value>)| {
            let line = line(value.span().start);
            if !known.contains(&key) {
                return Err(wrong(line, format!("{key:?} is no flag of a server command")).advise(advice(&known, &key)));
            }
            match value.into_inner() {
                Value::String(value) => Ok((key, Setting { line, value })),
                Value::Integer(value) => Ok((key, Setting { line, value: value.to_string() })),
                other => Err(wrong(line, format!("{key} can't be of type {}", other.type_str()))
                    .advise(format!("give it as a text or a whole number, as --{key} has it"))),
            }
        };
        let settings = pairs.into_iter().map(setting).collect::<Result<_, _>>()?;
        Ok(ConfigFile { path: path.to_owned(), settings })
    }

    /// The command line with the settings as the defaults of one of its commands.
    fn defaults_of(&self, root: Command, command: &str) -> Command {
        let with_default = |flag: Arg| match flag.get_long().and_then(|key| self.settings.get(key)) {
            Some(setting) => flag.required(false).default_value(setting.value.clone()),
            None => flag,
        };
        root.mut_args(with_default).mut_subcommand(command, |command| command.mut_args(with_default))
    }

    /// A value that is refused now is the file's, as those of the command line and the environment were good before.
    fn blamed(&self, error: clap::Error) -> Unparsed {
        let refused = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
        let flag = error.get(ContextKind::InvalidArg).filter(|_| refused).map(ToString::to_string);
        let key = flag.and_then(|flag| Some(flag.strip_prefix("--")?.split([' ', '.']).next()?.to_owned()));
        match key.and_then(|key| self.settings.get(&key)) {
            Some(setting) => {
                Unparsed::File(Failure::usage(place(&self.path, setting.line), one_line(&error.to_string())))
            }
            None => Unparsed::Usage(error),
        }
    }
}

fn place(path: &Path, line: impl fmt::Display) -> String {
    format!("{}, line {line}", path.display())
}

/// The keys that a file may have: the flags of all commands that can be configured.
fn keys(root: &Command) -> BTreeSet<String> {
    let configured =
        root.get_subcommands().filter(|command| command.get_arguments().any(|flag| flag.get_id() == CONFIG));
    let flags = configured.chain([root]).flat_map(Command::get_arguments);
    let shown = flags.filter(|flag| !flag.is_hide_set() && flag.get_id() != CONFIG);
    shown.filter_map(|flag| flag.get_long().map(str::to_owned)).collect()
}

/// What to do about an unknown key. What is like it is found as for a flag.
fn advice(known: &BTreeSet<String>, key: &str) -> String {
    let flags = known.iter().map(|key| Arg::new(key.clone()).long(key.clone()));
    let asked = Command::new("keys").args(flags).try_get_matches_from(["keys", &format!("--{key}")]);
    let like = asked.err().and_then(|error| match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(flag)) => Some(flag.trim_start_matches('-').to_owned()),
        _ => None,
    });
    match like {
        Some(like) => format!("did you mean {like}?"),
        None => "keys are named like flags, which --help lists".to_owned(),
    }
}

/// What a target for fuzzers sees of a file.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    use super::*;

    /// What is said of a file that is refused.
    pub fn refusal(path: &Path, text: &str, root: &Command) -> Option<String> {
        ConfigFile::parse(path, text, root).err().map(|failure| failure.line())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::FromArgMatches;
    use tempfile::NamedTempFile;

    use super::*;
    use crate::{application::tests::visits, commands::PlainCommand};

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn asked(command: &str, file: &NamedTempFile, flags: &[&str]) -> Result<ArgMatches, Unparsed> {
        let path = file.path().to_str().unwrap();
        let words =
            ["visits"].into_iter().chain(command.split(' ')).chain(["--config", path]).chain(flags.iter().copied());
        let root = crate::command_line::command::<PlainCommand>(&visits());
        let matches = matches(&root, &words.map(OsString::from).collect::<Vec<_>>())?;
        PlainCommand::from_arg_matches(&matches)?;
        Ok(matches.subcommand().unwrap().1.clone())
    }

    /// The one line, with FILE for the file's name.
    fn refused(text: &str) -> String {
        let file = file(text);
        match asked("up", &file, &[]) {
            Err(Unparsed::File(failure)) => failure.line().replace(file.path().to_str().unwrap(), "FILE"),
            Err(Unparsed::Usage(error)) => one_line(&error.to_string()),
            Ok(_) => panic!("taken: {text}"),
        }
    }

    #[test]
    fn a_file_stands_between_flags_and_defaults() {
        let file = file("broker = 'amqp://file'\nrunning = 4\nwaiting = 0x10\nclient-timeout = '5m'\nverbose = 2\n");
        let matches = asked("up", &file, &["--running", "5"]).unwrap();
        assert_eq!(matches.get_one::<String>("broker").unwrap(), "amqp://file", "required, and given by the file");
        assert_eq!(matches.get_one::<u16>("running"), Some(&5), "a flag goes before the file");
        assert_eq!(matches.get_one::<u16>("waiting"), Some(&16), "the file goes before the default");
        assert_eq!(matches.get_one::<u16>("connections"), Some(&256), "the default");
        assert_eq!(matches.get_one::<std::time::Duration>("client_timeout").unwrap().as_secs(), 300);
        assert_eq!(matches.get_one::<u8>("verbose"), Some(&2), "a flag of all commands");
    }

    #[test]
    fn one_file_does_for_all_nodes() {
        let file =
            file("broker = 'amqp://file'\nname = 'x'\nrunning = 4\nkeep = '2h'\nlisten = '[::1]:1'\nstate = 's'\n");
        for command in ["up", "gateway", "query-node", "results-node", "node groups --shard 0"] {
            let matches = asked(command, &file, &[]).unwrap();
            assert_eq!(matches.get_one::<String>("name").unwrap(), "x", "{command}");
        }
        assert!(matches!(asked("compose", &file, &[]), Err(Unparsed::Usage(_))), "no server");
    }

    #[test]
    fn the_documented_file_is_one() {
        let file = file(include_str!("../../docs/cluster.toml"));
        let matches = asked("up", &file, &[]).unwrap();
        assert_eq!(matches.get_one::<u16>("running"), Some(&2));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, says) in [
            (
                "broker = 'a'\nruning = 4",
                "FILE, line 2: \"runing\" is no flag of a server command; did you mean running?",
            ),
            ("leash = 'true'", "FILE, line 1: \"leash\" is no flag"),
            ("config = 'x'", "FILE, line 1: \"config\" is no flag"),
            ("zzz = 1", "keys are named like flags"),
            ("'' = 1", "keys are named like flags"),
            ("help = 1", "keys are named like flags"),
            ("[broker]\nurl = 'x'", "FILE, line 1: broker can't be of type table; give it as a text"),
            ("broker = 'a'\n\nkeep = 1.5", "FILE, line 3: keep can't be of type float"),
            ("broker = 'a'\nrunning = 'many'", "FILE, line 2: invalid value 'many' for '--running <N>'"),
            ("broker = 'a'\nrunning = 0", "FILE, line 2: invalid value '0'"),
            ("broker = 'a'\nverbose = 'x'", "FILE, line 2: invalid value 'x' for '--verbose...'"),
            ("name = 'a'\nname = 'b'", "FILE, line 2: no TOML: duplicate key"),
            ("name = 'x'", "required arguments were not provided: --broker"),
        ] {
            let said = refused(text);
            assert!(said.contains(says) && said.lines().count() == 1, "{text}: {said}");
        }
    }

    #[test]
    fn what_the_command_line_has_wrong_is_not_the_files_fault() {
        let file = file("broker = 'a'\nrunning = 4");
        assert!(matches!(asked("up", &file, &["--running", "x"]), Err(Unparsed::Usage(_))));
        assert!(matches!(asked("up", &file, &["--runing", "5"]), Err(Unparsed::Usage(_))));
    }

    #[test]
    fn errors_keep_the_brokers_password() {
        let secret = "amqp://me:hidden-word@host/";
        for text in [
            format!("broker = '{secret}'\nrunning = 'x'"),
            format!("broker = \"{secret}"),
            format!("broker = {secret}"),
            format!("broker = ['{secret}']"),
            format!("broker = '{secret}' 5"),
            format!("brokr = '{secret}'"),
        ] {
            assert!(!refused(&text).contains("hidden-word"), "{text}");
        }
    }
}

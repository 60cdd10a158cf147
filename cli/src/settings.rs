//! Settings: flags that variables and the configuration file can give as well.
//!
//! A flag with an `env` in `args` is a setting: `--data-dir` is also `NETCHAN_DATA_DIR`, and `data_dir` under `[defaults]`
//! in the file. What is said more closely is stronger: the flag, then the place (`@prod` has a token of its own), then the
//! variable, then the file. What contradicts something stronger steps back without a word: `--token-file` on the command
//! line silences `NETCHAN_TOKEN`.
//!
//! To that end a command line is read twice. First with flags alone, which finds errors, asks for help and tells the
//! file and the place; then with what the others say as defaults.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use anyhow::{Result, anyhow, bail};
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches, ValueHint};

use serde_json::json;

use crate::admin::print;
use crate::args::{self, Cli};
use crate::config::{Config, EXAMPLE, Named, Which};
use crate::exit::Exit;
use crate::status::Plain;

/// The key in the file that cannot stand in the file.
const CONFIG: &str = "config";

/// The command line, understood, and what stood behind it.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) cli: Cli,
    pub(crate) config: Config,
    /// What did not come from the command line.
    pub(crate) settings: Vec<Setting>,
    /// Why nothing but the command line was heeded. Commands that want to be right must not go on.
    pub(crate) trouble: Option<anyhow::Error>,
}

/// A value for a flag that was not given.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The flag's name with `_` for `-`.
    pub(crate) key: String,
    pub(crate) value: OsString,
    pub(crate) origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Place(String),
    Variable(String),
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Place(name) => write!(f, "place @{name}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::File(path) => f.write_str(path),
        }
    }
}

/// The whole command line as it is shown: settings name their variables, and no value of this machine is in it.
pub(crate) fn command() -> clap::Command {
    declared(Cli::command())
}

fn declared(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match variable(&arg) {
            Some(name) => {
                let help = format!("{} [env: {name}]", arg.get_help().cloned().unwrap_or_default());
                arg.help(help).env(Resettable::Reset)
            }
            None => arg,
        })
        .mut_subcommands(declared)
}

/// The variable of a setting.
fn variable(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

fn key(arg: &Arg) -> Option<String> {
    arg.get_long().map(|long| long.replace('-', "_"))
}

/// All settings of all commands: their variables by their keys.
fn known() -> BTreeMap<String, String> {
    fn gather(command: &clap::Command, known: &mut BTreeMap<String, String>) {
        known.extend(command.get_arguments().filter_map(|arg| key(arg).zip(variable(arg))));
        command.get_subcommands().for_each(|command| gather(command, known));
    }
    let mut all = BTreeMap::new();
    gather(&Cli::command(), &mut all);
    all
}

/// Understands `words` (the program's name first), with `variable` being the environment.
///
/// # Errors
/// clap's: what is wrong with the command line, or the help that was asked for.
pub(crate) fn settle(
    words: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Settled, clap::Error> {
    let given = command().try_get_matches_from(words)?;
    let mut cli = Cli::from_arg_matches(&given)?;
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let alone = |cli, trouble| {
        Ok(Settled { cli, config: Config::default(), settings: Vec::new(), trouble: Some(trouble) })
    };

    let said = cli.config.clone().map(OsString::from).or_else(|| variable("NETCHAN_CONFIG"));
    let config = match Config::load(Which::said(said)) {
        Ok(config) => config,
        Err(error) => return alone(cli, error),
    };
    let target = cli.command.target().cloned();
    let mut layers =
        Layers { known: known(), variable: &variable, config: &config, place: None, heeded: Vec::new() };
    let settled = layers.check_file().and_then(|()| {
        layers.place = target.as_deref().map(|target| config.place(target)).transpose()?.flatten();
        let settled = layers.on(command(), &given)?;
        if let args::Command::Config(_) = &cli.command {
            layers.on_all()?;
        }
        Ok(settled)
    });
    let with = match settled {
        Ok(with) => with,
        Err(error) => return alone(cli, error),
    };
    let mut cli = Cli::from_arg_matches(&with.try_get_matches_from(words)?)?;
    if let (Some(place), Some(target)) = (&layers.place, cli.command.target()) {
        *target = place.target();
    }
    let settings = layers.heeded;
    let config = config.clone();
    Ok(Settled { cli, config, settings, trouble: None })
}

/// What stands behind the command line, strongest first.
struct Layers<'a> {
    known: BTreeMap<String, String>,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    config: &'a Config,
    place: Option<Named<'a, 'a>>,
    heeded: Vec<Setting>,
}

impl Layers<'_> {
    /// No key in the file is a slip of the pen.
    fn check_file(&self) -> Result<()> {
        let wrong = self.config.keys().find(|key| *key == CONFIG || !self.known.contains_key(*key));
        match wrong {
            None => Ok(()),
            Some(wrong) => {
                let known: Vec<_> =
                    self.known.keys().map(String::as_str).filter(|key| *key != CONFIG).collect();
                bail!("{}: {wrong} is no setting; these are: {}", self.file(), known.join(", "))
            }
        }
    }

    fn file(&self) -> String {
        let path = self.config.path.as_ref().map(|path| path.display().to_string());
        format!("the configuration file {}, [defaults]", path.unwrap_or_default())
    }

    /// The values that hold for any command.
    fn on_all(&mut self) -> Result<()> {
        for command in command().get_subcommands() {
            // as if nothing was given, not even what must be
            let given = command.clone().ignore_errors(true).try_get_matches_from([command.get_name()])?;
            self.on(command.clone(), &given)?;
        }
        Ok(())
    }

    /// The values that hold for `command` and the one under it that was chosen, as their defaults.
    fn on(&mut self, command: clap::Command, given: &ArgMatches) -> Result<clap::Command> {
        let values = self.values(&command, given)?;
        let command = values.into_iter().fold(command, |command, (id, setting)| {
            let value = setting.value.clone();
            if self.heeded.iter().all(|heeded| heeded.key != setting.key) {
                self.heeded.push(setting);
            }
            command.mut_arg(id, |arg| arg.default_value(value))
        });
        let Some((name, given)) = given.subcommand() else { return Ok(command) };
        let mut result = Ok(());
        let command = command.mut_subcommand(name, |sub| match self.on(sub.clone(), given) {
            Ok(sub) => sub,
            Err(error) => {
                result = Err(error);
                sub
            }
        });
        result.map(|()| command)
    }

    fn values(&self, command: &clap::Command, given: &ArgMatches) -> Result<Vec<(String, Setting)>> {
        let contradicts = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).contains(&other)
                || command.get_arg_conflicts_with(other).contains(&one)
        };
        let mut strong: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
            .collect();
        let mut values: Vec<(String, Setting)> = Vec::new();
        for layer in [Layers::of_place, Layers::of_variables, Layers::of_file] {
            let mut same: Vec<(&Arg, String)> = Vec::new();
            for arg in command.get_arguments().filter(|arg| !strong.contains(arg)) {
                let Some(key) = key(arg) else { continue };
                let Some((value, origin)) = layer(self, &key, arg)? else { continue };
                if let Some(other) = strong.iter().find(|other| contradicts(arg, other)) {
                    if let (Origin::Place(name), "via") = (&origin, &*key) {
                        let other = other.get_long().unwrap_or_default();
                        bail!("@{name} is reached by a command (via), which does not go with --{other}");
                    }
                    continue;
                }
                let value = checked(arg, value).map_err(|why| match &origin {
                    Origin::File(_) => anyhow!("{}: {key}: {why}", self.file()),
                    origin => anyhow!("{origin}: {why}"),
                })?;
                if off(arg, &value) {
                    continue;
                }
                if let Some((_, other)) = same.iter().find(|(other, _)| contradicts(arg, other)) {
                    bail!("{origin} says {key} and {other}, which contradict each other: one is enough");
                }
                same.push((arg, key.clone()));
                values.push((arg.get_id().to_string(), Setting { key, value, origin }));
            }
            strong.extend(same.into_iter().map(|(arg, _)| arg));
        }
        if let Some(named) = &self.place
            && named.place.via.is_some()
            && given.subcommand().is_none()
            && command.get_arguments().all(|arg| arg.get_id() != "via")
        {
            bail!(
                "@{} is reached by a command (via), which only send and recv can use: {} wants a place with an address",
                named.name,
                command.get_name()
            );
        }
        Ok(values)
    }

    fn of_place(&self, key: &str, _: &Arg) -> Result<Option<(OsString, Origin)>> {
        let Some(named) = &self.place else { return Ok(None) };
        Ok(named.place.value(key).map(|value| (value, Origin::Place(named.name.to_owned()))))
    }

    fn of_variables(&self, key: &str, _: &Arg) -> Result<Option<(OsString, Origin)>> {
        let Some(name) = self.known.get(key) else { return Ok(None) };
        Ok((self.variable)(name).map(|value| (value, Origin::Variable(name.clone()))))
    }

    fn of_file(&self, key: &str, arg: &Arg) -> Result<Option<(OsString, Origin)>> {
        if !self.known.contains_key(key) {
            return Ok(None);
        }
        let is_path = arg.get_value_hint() == ValueHint::AnyPath;
        let value = self
            .config
            .value(key, is_path, arg.get_value_delimiter())
            .map_err(|error| anyhow!("{}: {error}", self.file()))?;
        let file = self.config.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        Ok(value.map(|value| (value, Origin::File(file))))
    }
}

/// `netchan config`: what holds here besides the command line.
pub(crate) fn show(args: &args::Config, settled: &Settled) -> Result<Exit> {
    if args.example {
        return print(&[EXAMPLE.trim_end().to_owned()]);
    }
    let mut values = known().into_iter().map(|(key, variable)| (key, variable, None)).collect::<Vec<_>>();
    for setting in &settled.settings {
        if let Some((_, _, value)) = values.iter_mut().find(|(key, ..)| *key == setting.key) {
            let text = match &*setting.key {
                "token" => "(not shown)".to_owned(),
                _ => Plain(setting.value.to_string_lossy()).to_string(),
            };
            *value = Some((text, setting.origin.to_string()));
        }
    }
    let file = settled.config.path.as_ref().map(|path| path.display().to_string());
    let places = &settled.config.places;
    if args.json {
        let settings: serde_json::Map<_, _> = values
            .into_iter()
            .filter_map(|(key, _, value)| {
                value.map(|(text, origin)| (key, json!({"value": text, "from": origin})))
            })
            .collect();
        let places: serde_json::Map<_, _> = places
            .iter()
            .map(|(name, place)| (name.clone(), json!({"address": place.address, "via": place.via})))
            .collect();
        return print(&[json!({"file": file, "settings": settings, "places": places}).to_string()]);
    }
    let mut lines = vec![format!("file  {}", file.unwrap_or_else(|| "none".to_owned())), String::new()];
    lines.extend(values.into_iter().map(|(key, variable, value)| match value {
        Some((text, origin)) => format!("{key:11} {variable:19} {text}  (from {origin})"),
        None => format!("{key:11} {variable:19} -"),
    }));
    if !places.is_empty() {
        lines.push(String::new());
    }
    lines.extend(places.iter().map(|(name, place)| format!("@{name:10} {}", Plain(place.to_string()))));
    print(&lines)
}

/// A flag that is switched off needs no room, and contradicts nothing.
fn off(arg: &Arg, value: &OsStr) -> bool {
    !arg.get_action().takes_values() && (value == "false" || value == "0")
}

/// The value as a default for the flag, if the flag can have it.
fn checked(arg: &Arg, value: OsString) -> Result<OsString, String> {
    let long = arg.get_long().unwrap_or_default();
    let text = value.to_string_lossy().to_ascii_lowercase();
    let truth = match &*text {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    };
    match (arg.get_action(), truth) {
        (ArgAction::SetTrue, Some(truth)) => return Ok(truth.to_string().into()),
        (ArgAction::SetTrue, None) => return Err(format!("--{long} is true or false, not {text:?}")),
        (ArgAction::Count, Some(truth)) => return Ok(u8::from(truth).to_string().into()),
        (ArgAction::Count, None) if text.parse::<u8>().is_ok() => return Ok(text.into()),
        (ArgAction::Count, None) => return Err(format!("--{long} is a small number, not {text:?}")),
        _ => {}
    }
    // as the command line would judge it
    let name = arg.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
    let alone = Arg::new("value")
        .long(long.to_owned())
        .value_name(name.to_owned())
        .action(ArgAction::Set)
        .allow_hyphen_values(true)
        .value_delimiter(arg.get_value_delimiter())
        .value_parser(arg.get_value_parser().clone());
    let word: OsString = [OsStr::new(&format!("--{long}=")), &value].into_iter().collect();
    let judged = clap::Command::new("netchan").no_binary_name(true).arg(alone).try_get_matches_from([word]);
    match judged {
        Ok(_) => Ok(value),
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("For more"));
            let words: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
            Err(words.join(" ").trim_start_matches("error: ").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args::{Command, Durability};

    fn settled(words: &str, variables: &[(&str, &str)], file: &str) -> Settled {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        let variable = |name: &str| match name {
            "NETCHAN_CONFIG" => Some(path.clone().into()),
            _ => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)),
        };
        settle(&words, variable).unwrap()
    }

    fn refused(words: &str, variables: &[(&str, &str)], file: &str) -> String {
        format!("{:#}", settled(words, variables, file).trouble.expect("to be refused"))
    }

    #[test]
    fn every_setting_has_the_variable_that_its_flag_names() {
        let known = known();
        for (key, variable) in &known {
            assert_eq!(*variable, format!("NETCHAN_{}", key.to_uppercase()));
        }
        for key in ["data_dir", "token", "token_file", "listen", "durability", "config"] {
            assert!(known.contains_key(key), "{key}");
        }
    }

    #[test]
    fn a_flag_is_stronger_than_a_variable_and_that_than_the_file() {
        let dir = |words: &str, variables: &[(&str, &str)]| {
            let settled = settled(words, variables, "[defaults]\ndata_dir = '/file'");
            assert!(settled.trouble.is_none(), "{:?}", settled.trouble);
            match settled.cli.command {
                Command::Ls(ls) => ls.home.data_dir,
                other => panic!("{other:?}"),
            }
        };
        let variable = [("NETCHAN_DATA_DIR", "/variable")];
        assert_eq!(dir("netchan ls", &[]), Some(PathBuf::from("/file")));
        assert_eq!(dir("netchan ls", &[("NETCHAN_DATA_DIR", "")]), Some(PathBuf::from("/file")));
        assert_eq!(dir("netchan ls", &variable), Some(PathBuf::from("/variable")));
        assert_eq!(dir("netchan ls --data-dir /flag", &variable), Some(PathBuf::from("/flag")));
    }

    #[test]
    fn what_contradicts_something_stronger_steps_back() {
        let token = [("NETCHAN_TOKEN", "a")];
        let home = |words: &str, variables: &[(&str, &str)], file: &str| {
            let settled = settled(words, variables, file);
            assert!(settled.trouble.is_none(), "{:?}", settled.trouble);
            let Command::Recv(recv) = settled.cli.command else { panic!() };
            (recv.home.token, recv.home.token_file.map(|path| path.display().to_string()))
        };
        assert_eq!(home("netchan recv x --token-file f", &token, ""), (None, Some("f".into())));
        assert_eq!(home("netchan recv x", &token, "[defaults]\ntoken_file = '/f'"), (Some("a".into()), None));
        let places = "[defaults]\ntoken = 'd'\n[places.p]\naddress = 'p:1'\ntoken = 'b'";
        assert_eq!(home("netchan recv @p/x", &token, places), (Some("b".into()), None));
        assert_eq!(home("netchan recv @p/x --token c", &token, places), (Some("c".into()), None));
        assert_eq!(home("netchan recv x", &[], places), (Some("d".into()), None));

        let both = [("NETCHAN_TOKEN", "a"), ("NETCHAN_TOKEN_FILE", "f")];
        assert!(refused("netchan recv x", &both, "").contains("contradict"));
        let listen = [("NETCHAN_LISTEN", "127.0.0.1:1"), ("NETCHAN_INSECURE", "1")];
        let settled = settled("netchan serve --stdio", &listen, "");
        let Command::Serve(serve) = settled.cli.command else { panic!() };
        assert!(serve.stdio && serve.listen.listen.is_none() && !serve.listen.insecure);
    }

    #[test]
    fn switches_and_choices_are_understood_in_variables_and_in_the_file() {
        let variables = [("NETCHAN_INSECURE", "yes"), ("NETCHAN_VERBOSE", "2")];
        let settled =
            settled("netchan send x", &variables, "[defaults]\ndurability = 'os'\nkeep_size = '1K'");
        assert_eq!(settled.cli.verbose, 2);
        let Command::Send(send) = settled.cli.command else { panic!() };
        assert!(send.listen.insecure);
        assert_eq!((send.keeping.durability, send.keeping.keep_size), (Durability::Os, Some(1024)));
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_with_where_it_stands() {
        for (variables, file, words) in [
            (&[("NETCHAN_DURABILITY", "always")][..], "", "NETCHAN_DURABILITY: invalid value 'always'"),
            (&[("NETCHAN_INSECURE", "maybe")], "", "NETCHAN_INSECURE: --insecure is true or false"),
            (&[], "[defaults]\ndurability = 'always'", "possible values: sync, interval, os"),
            (&[], "[defaults]\ndata-dir = '/x'", "data-dir is no setting; these are:"),
            (&[], "[defaults]\nkeep_age = ['1d']", "keep_age is a text"),
            (&[], "[defaults]\nconfig = '/x'", "config is no setting"),
        ] {
            let error = refused("netchan send x", variables, file);
            assert!(error.contains(words), "{error}");
            assert!(file.is_empty() || error.contains("config.toml"), "{error}");
        }
    }

    #[test]
    fn a_place_gives_its_address_or_its_command() {
        let file = "[places.p]\naddress = 'p:1'\n[places.q]\nvia = 'ssh q'";
        let target = |words: &str| {
            let mut settled = settled(words, &[], file);
            assert!(settled.trouble.is_none(), "{:?}", settled.trouble);
            settled.cli.command.target().cloned()
        };
        assert_eq!(target("netchan ls @p").as_deref(), Some("p:1"));
        assert_eq!(target("netchan info @p/x/y").as_deref(), Some("p:1/x/y"));
        let Command::Recv(recv) = settled("netchan recv @q/x", &[], file).cli.command else { panic!() };
        assert_eq!((&*recv.target, recv.via.as_deref()), ("x", Some("ssh q")));
        assert!(refused("netchan ls @q", &[], file).contains("only send and recv"));
        assert!(refused("netchan send @q/x --serve", &[], file).contains("does not go with"));
        assert!(refused("netchan ls @r", &[], file).contains("@r is no place"));
    }
}

//! The configuration file: defaults for settings, and places with names.
//!
//! Owns where the file is, its form, and what a place's name stands for. Which flags are settings, and what is stronger
//! than the file, is [`crate::settings`]'.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use etcetera::BaseStrategy;
use netchan::Target;
use serde::Deserialize;

/// A file that shows all there is to say, each line with its reason.
pub(crate) const EXAMPLE: &str = include_str!("config.example.toml");

/// What says that no file is to be read.
const NO_FILE: &str = "none";

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where it was read; `None` if there is none.
    #[serde(skip)]
    pub(crate) path: Option<PathBuf>,
    /// Values for settings, by their flags' names with `_` for `-`.
    #[serde(default)]
    defaults: BTreeMap<String, toml::Value>,
    /// Nodes with names.
    #[serde(default)]
    pub(crate) places: BTreeMap<String, Place>,
}

/// A node that has a name: `@prod` in `@prod/my_log`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// HOST:PORT.
    pub(crate) address: Option<String>,
    /// A command to reach it instead, as `ssh prod netchan serve --stdio`.
    pub(crate) via: Option<String>,
    /// The secret it was started with.
    token: Option<String>,
    /// A file with it.
    token_file: Option<PathBuf>,
}

/// Which file is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// This one; it must be there.
    Said(PathBuf),
    /// The platform's, if it is there.
    Platform(Option<PathBuf>),
    /// None.
    None,
}

impl Which {
    /// The file that `said` (a flag or a variable) means.
    pub(crate) fn said(said: Option<OsString>) -> Which {
        match said {
            Some(said) if said == NO_FILE => Which::None,
            Some(said) => Which::Said(said.into()),
            None => {
                let platform = etcetera::choose_base_strategy().ok();
                Which::Platform(platform.map(|platform| platform.config_dir().join("netchan/config.toml")))
            }
        }
    }
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// Says which file, which line, what is wrong with it, and what would be understood.
    pub(crate) fn load(which: Which) -> Result<Config> {
        let (path, must) = match which {
            Which::Said(path) => (path, true),
            Which::Platform(Some(path)) => (path, false),
            Which::Platform(None) | Which::None => return Ok(Config::default()),
        };
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must => {
                return Ok(Config { path: None, ..Config::default() });
            }
            text => {
                let what = || format!("the configuration file {} cannot be read", path.display());
                text.with_context(what)?
            }
        };
        Config::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Config> {
        let mut config: Config = toml::from_str(text).map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|&byte| byte == b'\n').count() + 1;
            let why = error.message().lines().collect::<Vec<_>>().join(", ");
            anyhow::anyhow!("the configuration file {}, line {line}: {why}", path.display())
        })?;
        let home = path.parent().unwrap_or(Path::new("."));
        for (name, place) in &mut config.places {
            place.check(name).with_context(|| format!("the configuration file {}", path.display()))?;
            if let Some(file) = &mut place.token_file {
                *file = beside(home, file);
            }
        }
        config.path = Some(path.to_owned());
        Ok(config)
    }

    /// The names of settings that it has values for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.defaults.keys().map(String::as_str)
    }

    /// The value of a setting, as the command line would say it, several with `between` between them if it may be said so. A
    /// path stands beside the file, unless it is absolute.
    ///
    /// # Errors
    /// Says what it is instead of a value.
    pub(crate) fn value(&self, key: &str, is_path: bool, between: Option<char>) -> Result<Option<OsString>> {
        let home = self.path.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        if let (Some(value), Some(between)) = (self.defaults.get(key), between) {
            return several(home, key, value, between);
        }
        Ok(match self.defaults.get(key) {
            None => None,
            Some(toml::Value::String(text)) if is_path => Some(beside(home, Path::new(text)).into()),
            Some(toml::Value::String(text)) => Some(text.into()),
            Some(toml::Value::Integer(number)) => Some(number.to_string().into()),
            Some(toml::Value::Boolean(truth)) => Some(truth.to_string().into()),
            Some(other) => {
                bail!("{key} is a text, a whole number or true or false, not {}", other.type_str())
            }
        })
    }

    /// The place that a target begins with, and what follows: `@prod/my_log` has `prod` and `my_log`. `None` if it
    /// does not begin with one.
    ///
    /// # Errors
    /// There is no such place; says which there are.
    pub(crate) fn place<'a>(&self, target: &'a str) -> Result<Option<Named<'_, 'a>>> {
        let Some(rest) = target.strip_prefix('@') else { return Ok(None) };
        let (name, rest) = rest.split_once('/').map_or((rest, None), |(name, rest)| (name, Some(rest)));
        let Some((name, place)) = self.places.get_key_value(name) else {
            let known: Vec<_> = self.places.keys().map(|name| format!("@{name}")).collect();
            match (&self.path, &known[..]) {
                (None, _) => {
                    bail!(
                        "@{name} is no place: there is no configuration file (see netchan config --example)"
                    )
                }
                (Some(path), []) => bail!("@{name} is no place: {} names none", path.display()),
                (Some(path), _) => {
                    bail!("@{name} is no place: {} names {}", path.display(), known.join(", "))
                }
            }
        };
        Ok(Some(Named { name, place, rest }))
    }
}

/// A place, by its name in a target.
#[derive(Debug)]
pub(crate) struct Named<'c, 'a> {
    /// Its name.
    pub(crate) name: &'c str,
    /// What it stands for.
    pub(crate) place: &'c Place,
    rest: Option<&'a str>,
}

impl Named<'_, '_> {
    /// What is meant, without names: for a place with an address `HOST:PORT/NAME`, for one with a command `NAME`.
    pub(crate) fn target(&self) -> String {
        match (&self.place.address, self.rest) {
            (Some(address), Some(rest)) => format!("{address}/{rest}"),
            (Some(address), None) => address.clone(),
            (None, rest) => rest.unwrap_or_default().to_owned(),
        }
    }
}

impl Place {
    fn check(&self, name: &str) -> Result<()> {
        let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if name.is_empty() || name.contains(odd) {
            bail!("places.{name:?}: a place's name has letters, digits, - _ and .");
        }
        match (&self.address, &self.via) {
            (Some(address), None) => {
                // any name will do: it is the address that is looked at
                format!("{address}/x")
                    .parse::<Target>()
                    .ok()
                    .filter(|target| target.remote.is_some())
                    .with_context(|| format!("places.{name}.address is HOST:PORT, not {address:?}"))?;
            }
            (None, Some(_)) if self.token.is_some() || self.token_file.is_some() => {
                bail!("places.{name}: a command needs no token, for who can start it is trusted");
            }
            (None, Some(_)) => {}
            (None, None) => bail!("places.{name} wants an address = \"HOST:PORT\", or via = \"COMMAND\""),
            (Some(_), Some(_)) => bail!("places.{name} has an address and via: one is enough"),
        }
        if self.token.is_some() && self.token_file.is_some() {
            bail!("places.{name} has token and token_file: one is enough");
        }
        Ok(())
    }

    /// What it says for a flag, by the flag's name with `_` for `-`.
    pub(crate) fn value(&self, key: &str) -> Option<OsString> {
        match key {
            "token" => self.token.as_ref().map(OsString::from),
            "token_file" => self.token_file.as_ref().map(OsString::from),
            "via" => self.via.as_ref().map(OsString::from),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.address, &self.via) {
            (Some(address), _) => write!(f, "{address}")?,
            (None, via) => write!(f, "via {}", via.as_deref().unwrap_or_default())?,
        }
        match (&self.token, &self.token_file) {
            (_, Some(file)) => write!(f, ", token in {}", file.display()),
            (Some(_), None) => f.write_str(", with a token"),
            (None, None) => Ok(()),
        }
    }
}

/// Several `RIGHTS=FILE`, as a variable would say them.
fn several(home: &Path, key: &str, value: &toml::Value, between: char) -> Result<Option<OsString>> {
    let texts: Vec<&str> = match value {
        toml::Value::String(text) => text.split(between).collect(),
        toml::Value::Array(many) => {
            let texts: Option<_> = many.iter().map(toml::Value::as_str).collect();
            texts.with_context(|| format!("{key} has something in [ ] that is no text"))?
        }
        other => bail!("{key} is a text, or several in [ ], not {}", other.type_str()),
    };
    if let toml::Value::Array(_) = value
        && let Some(text) = texts.iter().find(|text| text.contains(between))
    {
        bail!("{key} has {text:?}, in which no {between:?} may be");
    }
    let said = texts.iter().map(|text| match text.split_once('=') {
        Some((rights, file)) => format!("{rights}={}", beside(home, Path::new(file)).display()),
        None => (*text).to_owned(),
    });
    let said = said.collect::<Vec<_>>().join(&between.to_string());
    Ok(if said.is_empty() { None } else { Some(said.into()) })
}

/// A path that a file says: `~/` is the user's home, what is relative stands beside the file.
fn beside(home: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("~").ok().zip(etcetera::home_dir().ok()) {
        Some((rest, user)) => user.join(rest),
        None => home.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        Config::parse(text, Path::new("/etc/netchan/config.toml"))
    }

    fn refused(text: &str) -> String {
        format!("{:#}", read(text).unwrap_err())
    }

    #[test]
    fn a_name_stands_for_an_address_with_a_token_or_for_a_command() {
        let config = read(
            "[places.prod]\naddress = 'prod:4747'\ntoken_file = 'secret'\n[places.build]\nvia = 'ssh b netchan serve --stdio'",
        )
        .unwrap();
        let prod = config.place("@prod/a/b").unwrap().unwrap();
        assert_eq!((prod.name, &*prod.target()), ("prod", "prod:4747/a/b"));
        assert_eq!(prod.place.value("token_file"), Some("/etc/netchan/secret".into()), "beside the file");
        assert_eq!(config.place("@prod").unwrap().unwrap().target(), "prod:4747");
        let build = config.place("@build/a").unwrap().unwrap();
        assert_eq!((&*build.target(), build.place.value("via").is_some()), ("a", true));
        assert!(config.place("host:1/a").unwrap().is_none() && config.place("a").unwrap().is_none());
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_refused_with_those_that_do() {
        let config = read("[places.prod]\naddress = 'prod:4747'").unwrap();
        let error = config.place("@prd/a").unwrap_err().to_string();
        assert!(
            error.contains("@prd") && error.contains("@prod") && error.contains("config.toml"),
            "{error}"
        );
        let error = Config::default().place("@prd/a").unwrap_err().to_string();
        assert!(error.contains("no configuration file"), "{error}");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, words) in [
            ("[places.a]\naddres = 'a:1'", "line 2: unknown field `addres`, expected one of `address`"),
            ("x = ", "line 1"),
            ("[place.a]", "unknown field `place`, expected `defaults` or `places`"),
            ("[places.a]", "places.a wants an address"),
            ("[places.a]\naddress = 'a'", "places.a.address is HOST:PORT"),
            ("[places.a]\naddress = 'a:1'\nvia = 'b'", "places.a has an address and via"),
            ("[places.a]\naddress = 'a:1'\ntoken = 'b'\ntoken_file = 'c'", "one is enough"),
            ("[places.a]\nvia = 'b'\ntoken = 'c'", "needs no token"),
            ("[places.'a b']\naddress = 'a:1'", "letters"),
        ] {
            let error = refused(text);
            assert!(error.contains("/etc/netchan/config.toml") && error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn files_with_tokens_stand_beside_the_file_one_or_several() {
        let said = |value: &str| {
            let config = read(&format!("[defaults]\ngrant = {value}")).unwrap();
            config.value("grant", false, Some(';')).map(|said| said.and_then(|said| said.into_string().ok()))
        };
        let both = Some("read=/etc/netchan/r;seal,read=/s".to_owned());
        assert_eq!(said("['read=r', 'seal,read=/s']").unwrap(), both);
        assert_eq!(said("'read=r;seal,read=/s'").unwrap(), both);
        assert_eq!(said("[]").unwrap(), None);
        for bad in ["[1]", "1", "['read=a;b']"] {
            assert!(said(bad).unwrap_err().to_string().starts_with("grant "), "{bad}");
        }
    }

    #[test]
    fn the_example_is_understood() {
        let config = read(EXAMPLE).unwrap();
        assert!(config.places.len() >= 2 && config.keys().count() >= 2);
    }
}

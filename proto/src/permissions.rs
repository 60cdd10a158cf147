//! What a peer may do (spec/19-administration.md).
//!
//! Owns the rights and their names. Which of them a request needs is said where requests are served.

use std::fmt;
use std::str::FromStr;

/// A set of rights: what the holder of a token may do on a node.
///
/// ```
/// use netchan_proto::Permissions;
///
/// let may: Permissions = "read,cursors".parse()?;
/// assert!(may.has(Permissions::READ) && !may.has(Permissions::DELETE));
/// assert_eq!(may.to_string(), "read,cursors");
/// # Ok::<(), netchan_proto::permissions::InvalidPermissions>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u16);

macro_rules! rights {
    ($($(#[$doc:meta])* $id:ident = $bit:literal $name:literal;)*) => {
        impl Permissions {
            $($(#[$doc])* pub const $id: Permissions = Permissions(1 << $bit);)*

            /// None.
            pub const NONE: Permissions = Permissions(0);
            /// Every right there is.
            pub const ALL: Permissions = Permissions($(1 << $bit)|*);

            /// Each right by itself, with its name.
            pub const EACH: &'static [(Permissions, &'static str)] = &[$((Permissions::$id, $name),)*];
        }
    };
}

rights! {
    /// To receive from channels, and to see which there are and how they are.
    READ = 0 "read";
    /// To publish to channels that are there.
    PUBLISH = 1 "publish";
    /// To make channels, by publishing too.
    CREATE = 2 "create";
    /// To say how a channel is kept.
    CHANGE = 3 "change";
    /// To seal channels.
    SEAL = 4 "seal";
    /// To delete channels.
    DELETE = 5 "delete";
    /// To let the oldest records of a channel go.
    TRUNCATE = 6 "truncate";
    /// To make, take, move and delete cursors.
    CURSORS = 7 "cursors";
    /// To see how the node is, and who reads and publishes.
    STATUS = 8 "status";
}

impl Permissions {
    /// Both.
    #[must_use]
    pub const fn and(self, other: Permissions) -> Permissions {
        Permissions(self.0 | other.0)
    }

    /// Whether all of `needed` are among them.
    #[must_use]
    pub const fn has(self, needed: Permissions) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// What of `needed` is not among them.
    #[must_use]
    pub const fn lacking(self, needed: Permissions) -> Permissions {
        Permissions(needed.0 & !self.0)
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Permissions::EACH.iter().filter(|(right, _)| self.has(*right)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}

/// Names of rights, separated by commas; or `all`.
impl FromStr for Permissions {
    type Err = InvalidPermissions;

    fn from_str(text: &str) -> Result<Permissions, InvalidPermissions> {
        let one = |name: &str| match name.trim() {
            "all" => Ok(Permissions::ALL),
            name => Permissions::EACH
                .iter()
                .find_map(|(right, known)| (*known == name).then_some(*right))
                .ok_or_else(|| InvalidPermissions { name: name.to_owned() }),
        };
        text.split(',').try_fold(Permissions::NONE, |all, name| Ok(all.and(one(name)?)))
    }
}

/// A name of no right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no right {name:?}: they are read, publish, create, change, seal, delete, truncate, cursors, status, and all"
)]
pub struct InvalidPermissions {
    /// What was given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    // NC-ADM-030
    #[test]
    fn rights_have_names_which_are_read_as_they_are_written() {
        for (right, name) in Permissions::EACH {
            assert_eq!((right.to_string().as_str(), name.parse()), (*name, Ok(*right)));
            assert!(Permissions::ALL.has(*right) && !Permissions::NONE.has(*right));
            assert!(InvalidPermissions { name: String::new() }.to_string().contains(name));
        }
        let some = Permissions::READ.and(Permissions::STATUS);
        assert_eq!(some.to_string().parse(), Ok(some));
        assert_eq!(some.lacking(Permissions::ALL).and(some), Permissions::ALL);
        assert_eq!("all".parse(), Ok(Permissions::ALL));
        assert_eq!(" read , seal".parse(), Ok(Permissions::READ.and(Permissions::SEAL)));
        for bad in ["", "read,", "Read", "read;seal", "write"] {
            assert!(bad.parse::<Permissions>().is_err(), "{bad:?}");
        }
    }
}

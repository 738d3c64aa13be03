//! What the server shows of a command (`COMMAND INFO`, `COMMAND DOCS`) and needs to route it, as
//! data.

use std::ffi::{c_char, c_int, CStr, CString};
use std::ptr;

use redis_module::raw;

/// The description of a command.
pub(crate) struct CommandInfo {
    pub(crate) summary: &'static CStr,
    pub(crate) complexity: &'static CStr,
    /// The version of the module that brought the command.
    pub(crate) since: &'static CStr,
    /// As `RedisModule_SetCommandACLCategories` takes them.
    pub(crate) acl_categories: &'static CStr,
    /// The number of words, the command's name included; if negative, the least number.
    pub(crate) arity: c_int,
    pub(crate) keys: Keys,
    pub(crate) arguments: &'static [Argument],
}

/// Where the keys of a command stand, and what the command does with them.
pub(crate) struct Keys {
    /// A place among the words; the command's name has place 0.
    pub(crate) place: c_int,
    /// Whether the word at that place is the number of the keys after it (`numkeys key [key
    /// ...]`). If not, it is the only key.
    pub(crate) counted: bool,
    pub(crate) access: KeyAccess,
}

pub(crate) enum KeyAccess {
    /// An ACL rule `%R~` on the key is enough.
    Read,
    Update,
}

/// A word, or several words that belong together.
#[derive(Clone, Copy)]
pub(crate) struct Argument {
    /// Shown in lower case.
    name: &'static str,
    kind: Kind,
    /// The word that stands before the value.
    token: Option<&'static str>,
    optional: bool,
    repeated: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Key,
    Integer,
    String,
    /// A word that stands for itself.
    Token,
    OneOf(&'static [Argument]),
    /// All of these, in this order.
    Block(&'static [Argument]),
}

impl Argument {
    pub(crate) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, token: None, optional: false, repeated: false }
    }

    /// A word that stands for itself.
    pub(crate) const fn word(word: &'static str) -> Self {
        Self::new(word, Kind::Token).after(word)
    }

    /// With a word before the value: `COST cost`.
    pub(crate) const fn after(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    pub(crate) const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// May stand several times, each time with its token if it has one.
    pub(crate) const fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }

    fn flags(&self) -> u32 {
        let mut flags = 0;
        if self.optional {
            flags |= raw::REDISMODULE_CMD_ARG_OPTIONAL;
        }
        if self.repeated {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE;
        }
        if self.repeated && self.token.is_some() {
            flags |= raw::REDISMODULE_CMD_ARG_MULTIPLE_TOKEN;
        }
        flags
    }
}

impl CommandInfo {
    pub(super) fn accepts(&self, words: usize) -> bool {
        let least_or_exact = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            words >= least_or_exact
        } else {
            words == least_or_exact
        }
    }

    /// Calls `set` with the server's form of the description, which lives until `set` returns.
    pub(super) fn with_raw<T>(
        &self,
        set: impl FnOnce(*const raw::RedisModuleCommandInfo) -> T,
    ) -> T {
        let mut arguments = RawArguments::default();
        let mut key_specs = [self.keys.raw(), NO_KEY_SPEC];
        set(&raw::RedisModuleCommandInfo {
            version: &VERSION,
            summary: self.summary.as_ptr(),
            complexity: self.complexity.as_ptr(),
            since: self.since.as_ptr(),
            history: ptr::null_mut(),
            tips: ptr::null(),
            arity: self.arity,
            key_specs: key_specs.as_mut_ptr(),
            args: arguments.list(self.arguments),
        })
    }
}

const VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

impl Keys {
    /// First key, last key and step, for servers without key specifications. Zeros: no fixed place.
    pub(super) fn range(&self) -> [c_int; 3] {
        if self.counted {
            [0, 0, 0]
        } else {
            [self.place, self.place, 1]
        }
    }

    fn raw(&self) -> raw::RedisModuleCommandKeySpec {
        let flags = match self.access {
            KeyAccess::Read => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
            KeyAccess::Update => {
                raw::REDISMODULE_CMD_KEY_RW
                    | raw::REDISMODULE_CMD_KEY_ACCESS
                    | raw::REDISMODULE_CMD_KEY_UPDATE
            }
        };
        let (find_keys_type, fk) = if self.counted { KEYS_BEHIND_THEIR_NUMBER } else { ONE_KEY };
        raw::RedisModuleCommandKeySpec {
            flags: flags.into(),
            begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX,
            bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
                index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 {
                    pos: self.place,
                },
            },
            find_keys_type,
            fk,
            ..NO_KEY_SPEC
        }
    }
}

type FindKeys = (raw::RedisModuleKeySpecFindKeysType, raw::RedisModuleCommandKeySpec__bindgen_ty_2);

const ONE_KEY: FindKeys = (
    raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE,
    raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
        range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
            lastkey: 0,
            keystep: 1,
            limit: 0,
        },
    },
);

/// Counted from the place of the number.
const KEYS_BEHIND_THEIR_NUMBER: FindKeys = (
    raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_KEYNUM,
    raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
        keynum: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_2 {
            keynumidx: 0,
            firstkey: 1,
            keystep: 1,
        },
    },
);

/// Ends a list of key specifications.
const NO_KEY_SPEC: raw::RedisModuleCommandKeySpec = raw::RedisModuleCommandKeySpec {
    notes: ptr::null(),
    flags: 0,
    begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INVALID,
    bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
        index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 0 },
    },
    find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_OMITTED,
    fk: ONE_KEY.1,
};

/// Holds what the server's form of the arguments points to.
#[derive(Default)]
struct RawArguments {
    lists: Vec<Vec<raw::RedisModuleCommandArg>>,
    texts: Vec<CString>,
}

impl RawArguments {
    fn list(&mut self, arguments: &[Argument]) -> *mut raw::RedisModuleCommandArg {
        let mut list: Vec<_> = arguments.iter().map(|argument| self.argument(argument)).collect();
        list.push(NO_ARGUMENT);
        let first = list.as_mut_ptr();
        self.lists.push(list);
        first
    }

    fn argument(&mut self, argument: &Argument) -> raw::RedisModuleCommandArg {
        let (type_, parts) = match argument.kind {
            Kind::Key => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY, None),
            Kind::Integer => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER, None),
            Kind::String => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING, None),
            Kind::Token => (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN, None),
            Kind::OneOf(parts) => {
                (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF, Some(parts))
            }
            Kind::Block(parts) => {
                (raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK, Some(parts))
            }
        };
        raw::RedisModuleCommandArg {
            name: self.text(&argument.name.to_ascii_lowercase()),
            type_,
            token: argument.token.map_or(ptr::null(), |token| self.text(token)),
            flags: argument.flags() as c_int, // three bits
            subargs: parts.map_or(ptr::null_mut(), |parts| self.list(parts)),
            ..NO_ARGUMENT
        }
    }

    fn text(&mut self, text: &str) -> *const c_char {
        // Only a NUL in the text would make it empty, and no name of an argument has one.
        let text = CString::new(text).unwrap_or_default();
        let first = text.as_ptr();
        self.texts.push(text);
        first
    }
}

/// Ends a list of arguments.
const NO_ARGUMENT: raw::RedisModuleCommandArg = raw::RedisModuleCommandArg {
    name: ptr::null(),
    type_: raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING,
    key_spec_index: 0,
    token: ptr::null(),
    summary: ptr::null(),
    since: ptr::null(),
    flags: 0,
    deprecated_since: ptr::null(),
    subargs: ptr::null_mut(),
    display_text: ptr::null(),
};

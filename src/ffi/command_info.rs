//! What `COMMAND DOCS` and `COMMAND INFO` tell of a command. Both commands take the same words.

use std::ffi::{c_int, CStr};
use std::ptr;

use redis_module::raw;

/// A command of the form `name key limit window …`.
pub(crate) struct CommandInfo {
    pub(crate) summary: &'static CStr,
    pub(crate) writes: bool,
    /// As `RedisModule_SetCommandACLCategories` has them.
    pub(crate) acl_categories: &'static CStr,
}

const VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

const KEY: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY;
const INTEGER: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER;
const STRING: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING;
const TOKEN: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN;
const ONE_OF: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF;
const BLOCK: u32 = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK;
const OPTIONAL: u32 = raw::REDISMODULE_CMD_ARG_OPTIONAL;
const MULTIPLE: u32 = raw::REDISMODULE_CMD_ARG_MULTIPLE;

impl CommandInfo {
    /// The server's form of it, alive while `tell` runs.
    pub(crate) fn with_raw<T>(
        &self,
        tell: impl FnOnce(*const raw::RedisModuleCommandInfo) -> T,
    ) -> T {
        let mut pair = [word(c"limit", INTEGER), word(c"window", STRING), END];
        let mut algorithms = [
            keyword(c"fixed", TOKEN, c"FIXED"),
            keyword(c"sliding", TOKEN, c"SLIDING"),
            keyword(c"bucket", TOKEN, c"BUCKET"),
            END,
        ];
        let mut args = [
            word(c"key", KEY),
            with(MULTIPLE, parent(&mut pair, word(c"pair", BLOCK))),
            with(OPTIONAL, parent(&mut algorithms, keyword(c"algorithm", ONE_OF, c"ALGORITHM"))),
            with(OPTIONAL, keyword(c"burst", INTEGER, c"BURST")),
            with(OPTIONAL, keyword(c"cost", INTEGER, c"COST")),
            END,
        ];
        let mut key_specs = [self.key_spec(), NO_KEY_SPEC];
        tell(&raw::RedisModuleCommandInfo {
            version: &VERSION,
            summary: self.summary.as_ptr(),
            complexity: c"O(N) where N is the number of limit and window pairs".as_ptr(),
            since: c"0.1.0".as_ptr(),
            history: ptr::null_mut(),
            tips: ptr::null(),
            arity: -4,
            key_specs: key_specs.as_mut_ptr(),
            args: args.as_mut_ptr(),
        })
    }

    /// One key, in the first place. A reader needs only `%R~` on it.
    fn key_spec(&self) -> raw::RedisModuleCommandKeySpec {
        let flags = if self.writes {
            raw::REDISMODULE_CMD_KEY_RW
                | raw::REDISMODULE_CMD_KEY_ACCESS
                | raw::REDISMODULE_CMD_KEY_UPDATE
        } else {
            raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS
        };
        raw::RedisModuleCommandKeySpec {
            flags: flags.into(),
            begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX,
            bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
                index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 1 },
            },
            find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE,
            fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
                range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
                    lastkey: 0,
                    keystep: 1,
                    limit: 0,
                },
            },
            ..NO_KEY_SPEC
        }
    }
}

const NO_KEY_SPEC: raw::RedisModuleCommandKeySpec = raw::RedisModuleCommandKeySpec {
    notes: ptr::null(),
    flags: 0,
    begin_search_type: raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INVALID,
    bs: raw::RedisModuleCommandKeySpec__bindgen_ty_1 {
        index: raw::RedisModuleCommandKeySpec__bindgen_ty_1__bindgen_ty_1 { pos: 0 },
    },
    find_keys_type: raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_OMITTED,
    fk: raw::RedisModuleCommandKeySpec__bindgen_ty_2 {
        range: raw::RedisModuleCommandKeySpec__bindgen_ty_2__bindgen_ty_1 {
            lastkey: 0,
            keystep: 0,
            limit: 0,
        },
    },
};

const END: raw::RedisModuleCommandArg = raw::RedisModuleCommandArg {
    name: ptr::null(),
    type_: STRING,
    key_spec_index: 0,
    token: ptr::null(),
    summary: ptr::null(),
    since: ptr::null(),
    flags: 0,
    deprecated_since: ptr::null(),
    subargs: ptr::null_mut(),
    display_text: ptr::null(),
};

fn word(name: &'static CStr, type_: u32) -> raw::RedisModuleCommandArg {
    raw::RedisModuleCommandArg { name: name.as_ptr(), type_, ..END }
}

fn keyword(name: &'static CStr, type_: u32, token: &'static CStr) -> raw::RedisModuleCommandArg {
    raw::RedisModuleCommandArg { token: token.as_ptr(), ..word(name, type_) }
}

fn with(flags: u32, arg: raw::RedisModuleCommandArg) -> raw::RedisModuleCommandArg {
    raw::RedisModuleCommandArg { flags: flags as c_int, ..arg }
}

fn parent(
    children: &mut [raw::RedisModuleCommandArg],
    arg: raw::RedisModuleCommandArg,
) -> raw::RedisModuleCommandArg {
    raw::RedisModuleCommandArg { subargs: children.as_mut_ptr(), ..arg }
}

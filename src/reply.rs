//! The reply to a decision: `allowed limit remaining retry_after_ms reset_after_ms`, and for
//! several pairs an array with the last four of each pair.

use ratelimit_core::{OutcomeOf, Standing};

use crate::ffi::Context;

pub(crate) fn outcome<const N: usize>(ctx: &Context, outcome: &OutcomeOf<N>) {
    let several = outcome.standings().len() > 1;
    ctx.reply_array(if several { 6 } else { 5 });
    ctx.reply_integer(outcome.allowed().into());
    standing(ctx, outcome.binding());
    if several {
        ctx.reply_array(outcome.standings().len());
        for each in outcome.standings() {
            ctx.reply_array(4);
            standing(ctx, each);
        }
    }
}

fn standing(ctx: &Context, standing: &Standing) {
    ctx.reply_integer(wire(standing.limit));
    ctx.reply_integer(wire(standing.remaining));
    ctx.reply_integer(standing.retry_after.to_wire());
    ctx.reply_integer(wire(standing.reset_after_ms));
}

/// Every number of a decision stays below 2^53, because the bounds of a policy keep it there.
fn wire(number: u64) -> i64 {
    number as i64
}

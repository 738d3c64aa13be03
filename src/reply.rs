//! What goes back to the client: `allowed limit remaining retry_after_ms reset_after_ms`, and
//! for several pairs an array of each one's last four.

use ratelimit_core::{OutcomeOf, RetryAfter, Standing};

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
    ctx.reply_integer(standing.limit as i64);
    ctx.reply_integer(standing.remaining as i64);
    ctx.reply_integer(match standing.retry_after {
        RetryAfter::Now => 0,
        RetryAfter::Millis(millis) => millis as i64,
        RetryAfter::Never => -1,
    });
    ctx.reply_integer(standing.reset_after_ms as i64);
}

/* check key [cost]: 5 calls a minute and 50 an hour, with hiredis. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

static int unchecked(const char *why) {
    fprintf(stderr, "unchecked: %s\n", why); /* let it pass or deny it: your choice */
    return 1;
}

int main(int argc, char **argv) {
    const char *host = getenv("REDIS_HOST"), *port = getenv("REDIS_PORT");
    struct timeval deadline = {1, 0};
    redisContext *redis =
        redisConnectWithTimeout(host ? host : "127.0.0.1", port ? atoi(port) : 6379, deadline);
    if (!redis || redis->err) return unchecked(redis ? redis->errstr : "out of memory");
    redisSetTimeout(redis, deadline);

    const char *cost = argc > 2 ? argv[2] : "1";
    redisReply *reply =
        redisCommand(redis, "RATELIMIT.CHECK %s 5 60 50 3600 COST %s", argv[1], cost);
    if (!reply) return unchecked(redis->errstr);
    if (reply->type == REDIS_REPLY_ERROR) return unchecked(reply->str);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 5) /* or more */
        return unchecked("a reply of another form");

    long long allowed = reply->element[0]->integer, remaining = reply->element[2]->integer;
    long long retry_after_ms = reply->element[3]->integer;
    if (allowed) printf("allowed, %lld remaining\n", remaining);
    else if (retry_after_ms == -1) printf("denied, can never pass\n");
    else printf("denied, retry in %lld ms\n", retry_after_ms);
    freeReplyObject(reply);
    redisFree(redis);
    return 0;
}

// check key [cost]: 5 calls a minute and 50 an hour, with redigo.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gomodule/redigo/redis"
)

func check(key, cost string) ([]int64, error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		url = "redis://127.0.0.1:6379"
	}
	conn, err := redis.DialURL(
		url, redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(time.Second))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply, err := redis.Values(conn.Do("RATELIMIT.CHECK", key, 5, 60, 50, 3600, "COST", cost))
	if err == nil && len(reply) < 5 {
		err = errors.New("a reply of another form")
	}
	if err != nil {
		return nil, err
	}
	return redis.Int64s(reply[:5], nil) // more may follow
}

func main() {
	cost := "1"
	if len(os.Args) > 2 {
		cost = os.Args[2]
	}
	reply, err := check(os.Args[1], cost)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unchecked:", err) // let it pass or deny it: your choice
		os.Exit(1)
	}
	if allowed, remaining, retryAfterMs := reply[0], reply[2], reply[3]; allowed == 1 {
		fmt.Println("allowed,", remaining, "remaining")
	} else if retryAfterMs == -1 {
		fmt.Println("denied, can never pass")
	} else {
		fmt.Println("denied, retry in", retryAfterMs, "ms")
	}
}

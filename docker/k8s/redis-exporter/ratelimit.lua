-- The fields of INFO ratelimit, for redis_exporter: its setting REDIS_EXPORTER_SCRIPT names this
-- file. Each field becomes redis_script_values{key="ratelimit_allowed"} and so on. Without the
-- module there is none. The user of the exporter needs +eval and +info.
local values = {}
for name, value in string.gmatch(redis.call('INFO', 'ratelimit'), '(ratelimit_[%w_]+):(%d+)') do
  values[#values + 1] = name
  values[#values + 1] = value
end
return values

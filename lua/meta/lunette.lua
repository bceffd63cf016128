---@meta
--- Types for editors that read LuaLS annotations: what the part written in C gives. Not loaded by
--- anything.

--- A variable of lunette's environment, or nil. A global in policy files.
---@param name string
---@return string?
function env(name) end

---@alias lunette.Action "allow"|"deny"|"reject"|"defer"
---@alias lunette.Protocol "tcp"|"udp"|"icmpv4"|"icmpv6"
---@alias lunette.Reason
---| "rule"
---| "default"
---| "deny_domain"
---| "never"
---| "on_connect"
---| "on_dns"
---| "handler_error"
---| "name_unknown"
---| "rebind"

--- A connection, as `when` and `on_connect` see it. Read-only; valid while the function runs.
---@class lunette.Flow
---@field direction "egress"|"ingress"
---@field protocol lunette.Protocol
---@field address string the peer: where the guest goes, or who comes
---@field port integer the destination port; 0 with ICMP
---@field names string[] that this sandbox resolved to the address
---@field sni? string the name shown in TLS
---@field host? string the name shown in HTTP
---@field group string "public", "private", "host", …
---@field country? string
---@field asn? integer
---@field time integer seconds since 1970
---@field flows integer open now
---@field id? integer the same at every call about this flow; nil where it is judged this once

--- A DNS query, as `on_dns` sees it.
---@class lunette.DnsQuery
---@field name string canonical; "" for the root
---@field type string "AAAA"
---@field protocol "udp"|"tcp"
---@field flows integer open now
---@field time integer seconds since 1970

--- A placeholder on its way to where its secret may not go, as `on_secret_violation` sees it.
---@class lunette.Violation
---@field secret string the name: the guest's variable
---@field host? string the name that the client shows or asks for
---@field address string
---@field port integer
---@field method? string of the request, where it is in one
---@field path? string of the request, without its query
---@field place "header"|"path"|"query"|"body"|"raw" where the placeholder is; raw: outside of requests
---@field time integer seconds since 1970

---@alias lunette.ViolationAction "block"|"block-and-log"|"block-and-terminate"
---@alias lunette.OnViolation fun(violation: lunette.Violation): lunette.ViolationAction|"pass-placeholder"

---@class lunette.Question
---@field address string
---@field port? integer needed with tcp and udp
---@field protocol? lunette.Protocol "tcp" unless said
---@field direction? "egress"|"ingress" "egress" unless said
---@field sni? string|false the name that the client shows; nil: none, false: not known yet
---@field method? string of a request on the connection; one of these three makes the question one about a request
---@field path? string of a request, with or without its query; "/" if not given
---@field headers? table<string, string|string[]> of a request
---@field http? false what the client sends is no HTTP request; nil, without a request: nothing is known of requests
---@field host? string|string[] the gateway's addresses, in the place of those given to compile()
---@field flows? integer open now, for the policy's functions
---@field flow? integer which flow it is, for those that count flows; else each question is about one of its own
---@field trace? boolean

---@class lunette.Decision
---@field action lunette.Action
---@field rule? integer that decided, counted from 1 in rules(); nil: the default or none
---@field source? string where it is written: "policy.lua:4"
---@field reason lunette.Reason
---@field inspect? boolean of a connection that is let in: each of its requests is judged
---@field error? string with "handler_error": what went wrong
---@field addresses? string[] of evaluate_dns: what on_dns answers with
---@field trace? lunette.Step[] with trace: every rule considered, in order

---@class lunette.Step
---@field rule integer
---@field matched boolean
---@field why string "matched", "direction", "protocol", "port", "destination", "gateway", "not_resolved", "name", …
---@field source? string

---@class lunette.Rule a rule of the expanded list
---@field action "allow"|"deny"|"reject"
---@field direction "egress"|"ingress"|"any"
---@field destination string
---@field protocols lunette.Protocol[] empty: any
---@field ports string[] empty: any
---@field text string the one-line form
---@field when boolean whether it has a function
---@field http? { methods: string[], path?: string, headers?: table<string, string> }
---@field name? string
---@field origin string "rules[3]"
---@field file? string
---@field line? integer
---@field source? string

---@class lunette.Policy
local Policy = {}

--- As if the sandbox had resolved `name` to these addresses.
---@param name string
---@param addresses string|string[]
function Policy:pin(name, addresses) end

--- Takes that back. Returns whether the name was pinned.
---@param name string
---@return boolean
function Policy:unpin(name) end

---@param question lunette.Question
---@return lunette.Decision
function Policy:evaluate(question) end

--- A DNS query, before it leaves.
---@param question { name: string, type?: string, protocol?: "udp"|"tcp", trace?: boolean }
---@return lunette.Decision
function Policy:evaluate_dns(question) end

--- An address in a DNS answer (rebind protection).
---@param question { name?: string, address: string }
---@return lunette.Decision
function Policy:evaluate_answer(question) end

--- How long it takes to evaluate a question, in nanoseconds; one without an address is about DNS.
---@param question table
---@param rounds integer 1 to 1000000
---@return number
function Policy:measure(question, rounds) end

---@return lunette.Rule[]
function Policy:rules() end

--- Rule `i` of them; #policy is how many there are.
---@param i integer
---@return lunette.Rule?
function Policy:rule(i) end

--- The action where no rule matches.
---@param direction "egress"|"ingress"
---@return "allow"|"deny"|"reject"
function Policy:default(direction) end

--- The group that an address is in.
---@param address string
---@return string
function Policy:group(address) end

---@class lunette.GatewayOptions
---@field policy lunette.Policy
---@field slot? integer 0 to 65535: which subnets of the policy's pools
---@field mtu? integer 1280 to 65520
---@field on_frame fun(bytes: string) takes an Ethernet frame for the guest
---@field on_event? fun(event: lunette.Event)
---@field data_dir? string where the interception CA is kept (default: $XDG_DATA_HOME/lunette, ~/.local/share/lunette)

---@class lunette.Gateway
local Gateway = {}

--- Readable when dispatch() has work; the same for its life.
---@return integer
function Gateway:fd() end

--- A frame from the guest.
---@param bytes string
function Gateway:input(bytes) end

--- Does what is due, and never blocks. Raises what a function of the options raised.
function Gateway:dispatch() end

--- Another policy: live flows are judged again.
---@param policy lunette.Policy
function Gateway:reload(policy) end

---@return table<string, integer|table<string, integer>>
function Gateway:stats() end

--- What the guest is to be configured with, where it does not ask for it.
---@return { gateway_mac: string, guest_mac: string, gateway4: string, gateway6: string, guest4: string, guest6: string,
---  mtu: integer, route4: boolean, route6: boolean }
function Gateway:link() end

--- The certificates that the guest is to trust (PEM): the CA of interception, and the host's roots where the policy has
--- `trust_host_cas`. Nothing where there are none.
---@return string?
function Gateway:trust() end

--- What the guest is to have in the place of secrets, and how old their values are.
---@return { name: string, placeholder: string, age_ms: integer, failure: string? }[]
function Gateway:secrets() end

--- Why the guest is to be ended (block-and-terminate): nothing of it passes any more. Nil: it need not be.
---@return string?
function Gateway:condemned() end

function Gateway:close() end

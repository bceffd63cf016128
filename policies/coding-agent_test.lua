--- lunette test --coverage policies/coding-agent_test.lua

test("models, GitHub and package managers are open", function()
  allows { port = 443,
    { name = "api.anthropic.com", sni = "api.anthropic.com" }, { name = "api.github.com" }, { name = "pypi.org" },
    { name = "files.pythonhosted.org" }, { name = "www.npmjs.org" }, { name = "index.crates.io" },
  }
  allows { name = "ftp.debian.org", port = 80 }
end)

test("DNS is no way out", function()
  resolves { "github.com", "objects.githubusercontent.com" }
  refuses { "pastebin.com", "github.com.evil.example", "notgithub.com" }
end)

test("raw gists are closed, even at an address that is open for another name", function()
  pin("raw.githubusercontent.com", "203.0.113.200")
  allows { address = "203.0.113.200", port = 443, sni = "raw.githubusercontent.com" }
  denies { address = "203.0.113.200", port = 443, sni = "gist.githubusercontent.com" }
end)

test("nothing around the machine is open, and nobody gets in", function()
  for _, address in ipairs { "10.0.0.1", "192.168.1.1", "169.254.169.254", "172.16.0.1", "127.0.0.1", "fd00::1" } do
    denies { address = address, port = 443 }
  end
  denies "ingress tcp 192.0.2.1 -> 3000"
end)

--- Where common tools fetch from, by tool: lists of destinations for rules. Policies beside this file say
--- `require "hosts"`.
---
--- A name stands for itself only; one that begins with a dot stands for every name below it. Allowing a
--- name also lets the sandbox resolve it, so that policies made of names need no lunette.allow_dns():
--- without it, no other name can be asked for, and DNS is no way out for data.

local M = {}

--- apt on Debian and Ubuntu. Packages are signed, so plain HTTP (port 80) is fine, and the default.
M.apt = {
  ".debian.org",
  "archive.ubuntu.com", ".archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com",
}

--- apk on Alpine.
M.apk = { "dl-cdn.alpinelinux.org" }

--- npm, yarn and pnpm. node-gyp fetches headers from nodejs.org.
M.npm = { ".npmjs.org", ".yarnpkg.com", "nodejs.org" }

--- pip, uv and poetry.
M.pypi = { "pypi.org", "files.pythonhosted.org" }

--- cargo. rustup has hosts of its own.
M.cargo = { "crates.io", "index.crates.io", "static.crates.io" }
M.rustup = { "static.rust-lang.org" }

--- go get, with the checksum database. Downloads of large modules are redirected to the last.
M.go = { "proxy.golang.org", "sum.golang.org", "storage.googleapis.com" }

--- gem and bundler.
M.rubygems = { "rubygems.org", "index.rubygems.org" }

--- Maven and Gradle.
M.maven = {
  "repo.maven.apache.org", "repo1.maven.org",
  "plugins.gradle.org", "plugins-artifacts.gradle.org", "services.gradle.org", "downloads.gradle.org",
}

--- git over HTTPS, releases, raw files and the API of GitHub.
M.github = { "github.com", "api.github.com", "codeload.github.com", ".githubusercontent.com" }

--- Container images from Docker Hub and GitHub.
M.images = { ".docker.io", ".docker.com", "ghcr.io" }

return M

# Written by `cargo xtask release`.
class McpRunPython < Formula
  desc "MCP server that runs Python of models in an isolate that reaches nothing"
  homepage "@HOMEPAGE@"
  version "@VERSION@"
  license "MIT"

@PROGRAMS@
  def install
    libexec.install "mcp-run-python", "workerd", "runtime", "browser"
    bin.install_symlink libexec/"mcp-run-python"
    man1.install "mcp-run-python.1"
    bash_completion.install "completions/mcp-run-python.bash" => "mcp-run-python"
    fish_completion.install "completions/mcp-run-python.fish"
    zsh_completion.install "completions/_mcp-run-python"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mcp-run-python --version")
    assert_match "run_python_code", pipe_output("#{bin}/mcp-run-python stdio", <<~MESSAGES)
      {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"brew","version":"1"}}}
      {"jsonrpc":"2.0","method":"notifications/initialized"}
      {"jsonrpc":"2.0","id":2,"method":"tools/list"}
    MESSAGES
  end
end

//! An outcome as the original words it: XML, JSON, and MCP's structured content.

"""From a configuration to objects: `compose` builds one section, `assemble` a whole run."""
